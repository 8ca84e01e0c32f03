"""What a person sees while a data set is prepared."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ClassesDone = Callable[[int, int], None]
"""Called with the number of classes done and of all classes."""


@contextmanager
def preparing(name: str) -> Iterator[ClassesDone]:
    """A bar on a terminal, a plain line per tenth elsewhere; silent if nothing is prepared."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    title = f"preparing {name}"
    if not console.is_terminal:
        yield _tenths(title)
        return
    with Progress(console=console) as bar:
        task = None

        def show(done: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = bar.add_task(title, total=total)
            bar.update(task, completed=done)

        yield show


def _tenths(title: str) -> ClassesDone:
    printed = 0

    def show(done: int, total: int) -> None:
        nonlocal printed
        if done * 10 // total > printed:  # several classes may be done at once
            printed = done * 10 // total
            sys.stderr.write(f"{title}: {done} of {total} classes\n")

    return show
