"""The meta-learning methods, one file each."""
