"""What commands print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from metaray.platform.common.terminal import new_console

console = new_console()


def print_result(summary: dict[str, Any], place: str) -> None:
    """The result of a run in a few lines; ``place`` is where its user knows the run."""
    from metaray.platform.experiment.registry import experiment_of

    for line in experiment_of(summary).result_lines(summary):
        console.print(line)
    console.print(f"report: {place}/report.html")


@contextmanager
def counting(text: str) -> Iterator[Callable[[int], Callable[[int], None]]]:
    """A bar on a terminal: gets the number of things, and then how many more are done."""
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:

        def started(total: int) -> Callable[[int], None]:
            task = bar.add_task(text, total=total)
            return lambda count: bar.advance(task, count)

        yield started
