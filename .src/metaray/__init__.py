"""metaray: few-shot and meta-learning that runs the same on a laptop and on a Ray cluster."""

from importlib.metadata import version

__version__ = version("metaray")
