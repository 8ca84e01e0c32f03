"""The report of a run: plots as PNG, and one self-contained page."""

from metaray.platform.report.example import ExampleEpisode
from metaray.platform.report.page import write_report

__all__ = ["ExampleEpisode", "write_report"]
