"""What a person sees while a data set is prepared, or embedded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Done = Callable[[int, int], None]
"""Called with the number of classes or images that are done, and of all."""

_console: ContextVar[Console | None] = ContextVar("console", default=None)


@contextmanager
def prepared_on(console: Console) -> Iterator[None]:
    """In this block, show on ``console`` how data sets are prepared; elsewhere on stderr."""
    token = _console.set(console)
    try:
        yield
    finally:
        _console.reset(token)


@contextmanager
def preparing(name: str) -> Iterator[Done]:
    """The progress of a preparation, as ``showing``."""
    with showing(f"preparing {name}", "classes") as show:
        yield show


@contextmanager
def showing(title: str, unit: str) -> Iterator[Done]:
    """A bar on a terminal, a plain line per tenth elsewhere; silent if nothing is done."""
    from rich.progress import Progress

    from metaray.platform.common.terminal import new_console

    console = _console.get() or new_console(stderr=True)
    if not console.is_terminal:
        yield _tenths(title, unit, console)
        return
    with Progress(console=console) as bar:
        task = None

        def show(done: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = bar.add_task(title, total=total)
            bar.update(task, completed=done)

        yield show


def _tenths(title: str, unit: str, console: Console) -> Done:
    printed = 0

    def show(done: int, total: int) -> None:
        nonlocal printed
        if done * 10 // total > printed:  # several classes may be done at once
            printed = done * 10 // total
            console.print(f"{title}: {done} of {total} {unit}")

    return show
