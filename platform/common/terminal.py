"""A console that prints text as it is. Brackets in names and messages are no markup."""

from __future__ import annotations

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
