"""Run directories in object stores and other file systems: a local copy, mirrored."""
