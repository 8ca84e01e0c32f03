"""What a person sees while a data set is prepared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

ClassesDone = Callable[[int, int], None]
"""Called with the number of classes done and of all classes."""

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
def preparing(name: str) -> Iterator[ClassesDone]:
    """A bar on a terminal, a plain line per tenth elsewhere; silent if nothing is prepared."""
    from rich.progress import Progress

    from metaray.platform.common.terminal import new_console

    console = _console.get() or new_console(stderr=True)
    title = f"preparing {name}"
    if not console.is_terminal:
        yield _tenths(title, console)
        return
    with Progress(console=console) as bar:
        task = None

        def show(done: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = bar.add_task(title, total=total)
            bar.update(task, completed=done)

        yield show


def _tenths(title: str, console: Console) -> ClassesDone:
    printed = 0

    def show(done: int, total: int) -> None:
        nonlocal printed
        if done * 10 // total > printed:  # several classes may be done at once
            printed = done * 10 // total
            console.print(f"{title}: {done} of {total} classes")

    return show
