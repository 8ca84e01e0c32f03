"""metaray: few-shot and meta-learning that runs the same on a laptop and on a Ray cluster."""

__version__ = "0.1.0"
