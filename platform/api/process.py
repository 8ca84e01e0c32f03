"""How a run fits into the Python process that asked for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from rich.console import Console

from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.preparing import prepared_on
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.common.terminal import new_console


def ray_address(address: str | None) -> str:
    """Where to compute: ``address``, or the Ray that this process uses, or one of our own."""
    from metaray.cluster.connect import address_here

    return address_here() if address is None else address


@contextmanager
def running(
    progress: bool,
    address: str | None,
    callbacks: Sequence[Callback] = (),
    title: str = "meta-training",
) -> Iterator[tuple[str, CallbackList]]:
    """Where a run computes and what it tells, with the settings of the process kept."""
    with torch_settings_kept(), console_for(progress) as console:
        yield ray_address(address), CallbackList([Terminal(console, title), *callbacks])


@contextmanager
def console_for(progress: bool) -> Iterator[Console]:
    """Where all progress goes: stderr of a script, the output of a notebook's cell, or nowhere."""
    with ExitStack() as stack:
        if not progress:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            console = new_console(file=nowhere, force_jupyter=False)
        elif in_notebook():  # a kernel claims to be a terminal, but a cell cannot move the cursor
            console = new_console(file=sys.stdout, force_terminal=False, force_jupyter=False)
        else:
            console = new_console(stderr=True, force_jupyter=False)
        stack.enter_context(prepared_on(console))
        yield console


def in_notebook() -> bool:
    """Whether this code runs in a cell of a notebook.

    A program that only imports IPython or ipykernel has no shell that runs it.
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def show_figures_in_notebooks() -> None:
    """Make a notebook show figures of matplotlib even if the user has not imported it."""
    if in_notebook():
        import matplotlib_inline.backend_inline  # noqa: F401


@contextmanager
def torch_settings_kept() -> Iterator[None]:
    """Undo at the end what a run in this process sets for all of torch."""
    import torch

    cudnn = torch.backends.cudnn
    before = torch.get_num_threads(), cudnn.deterministic, cudnn.benchmark
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]
