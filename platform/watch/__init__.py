"""Watch a run live, in a terminal or a browser."""
