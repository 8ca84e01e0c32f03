"""Published settings, by family of data."""
