"""What commands print."""

from __future__ import annotations

from typing import Any

from metaray.platform.common.terminal import new_console

console = new_console()


def print_result(summary: dict[str, Any], place: str) -> None:
    """The result of a run in a few lines; ``place`` is where its user knows the run."""
    from metaray.platform.experiment.registry import experiment_of

    for line in experiment_of(summary).result_lines(summary):
        console.print(line)
    console.print(f"report: {place}/report.html")
