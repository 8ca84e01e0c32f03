"""The settings of a run: their schema, how they are read, and the commands that repeat a run."""
