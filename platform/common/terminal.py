"""A console that prints text as it is, and what it shows while a command waits.

Brackets in names and messages are no markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text


def new_console(**settings: Any) -> Console:
    """A console without markup, highlighting and line breaks; ``settings`` as of rich's."""
    return Console(**{"markup": False, "highlight": False, "soft_wrap": True} | settings)


def bold(text: object) -> Text:
    """``text`` in bold.

    >>> bold("shape [n]").plain
    'shape [n]'
    """
    return Text(str(text), style="bold")


@contextmanager
def waiting(console: Console, text: str) -> Iterator[None]:
    """A spinner with ``text`` and the time since it began, which leaves no trace; on a terminal."""
    if not console.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(text, total=None)
        yield
