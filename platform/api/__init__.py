"""The Python API: what ``import metaray`` offers, and what the command line is built on."""
