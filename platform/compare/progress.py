"""What a person sees while a comparison runs: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.console import print_line
from metaray.platform.callbacks.events import Event, Message, TrainingEnded, TrainingStarted
from metaray.platform.common.formatting import clock, number, percent
from metaray.platform.compare.directory import RunFolder
from metaray.platform.compare.events import RunUpdated
from metaray.platform.compare.status import RunProgress

_LINE_EVERY_S = 10.0
_COLUMNS = ("step", "loss", "accuracy", "validation", "left")
_STYLES = {"training": "bold", "testing": "bold", "done": "green", "failed": "red"}


class RunsProgress(Callback):
    """The state of every run of a comparison on a console."""

    in_training_thread = True

    def __init__(self, console: Console, folders: Sequence[RunFolder]) -> None:
        """``folders`` are all runs; those with measures are done already."""
        self._console = console
        self._runs = {
            folder: RunProgress(state="done" if folder.measures.exists() else "waiting")
            for folder in folders
        }
        is_live = console.is_terminal and not console.is_dumb_terminal
        self._live = (
            Live(console=console, get_renderable=self.table, refresh_per_second=4)
            if is_live
            else None
        )
        self._last_line_s = console.get_time()

    @override
    def on_event(self, event: Event) -> None:
        match event:
            case TrainingStarted():
                if self._live:
                    self._live.start()
                else:
                    print_line(self._console, self._counts())
            case TrainingEnded() if self._live:
                self._live.stop()
            case RunUpdated():
                self._update(event.run, event.progress)
            case Message():
                print_line(self._console, event.text)

    def table(self) -> Table:
        """A row per run."""
        table = Table(box=None, pad_edge=False, caption=self._counts(), caption_justify="left")
        for name in ("run", "state"):
            table.add_column(name)
        for name in _COLUMNS:
            table.add_column(name, justify="right")
        for folder, status in self._runs.items():
            style = _STYLES.get(status.state, "dim")
            table.add_row(folder.label, Text(status.state, style=style), *_cells(status))
        return table

    def _update(self, folder: RunFolder, status: RunProgress) -> None:
        before = self._runs[folder]
        self._runs[folder] = status
        if self._live:
            return
        if status.state != before.state:
            reason = f": {status.reason}" if status.reason else ""
            print_line(self._console, f"{folder.label}: {status.state}{reason}")
        now_s = self._console.get_time()
        if now_s - self._last_line_s >= _LINE_EVERY_S:
            self._last_line_s = now_s
            self._print_steps()

    def _print_steps(self) -> None:
        for folder, status in self._runs.items():
            if status.state == "training":
                named = zip(_COLUMNS, _cells(status), strict=True)
                parts = [f"{name} {text}" for name, text in named if text]
                print_line(self._console, "  ".join([f"{folder.label}:", *parts]))

    def _counts(self) -> str:
        states = [status.state for status in self._runs.values()]
        return f"{states.count('done')} of {len(states)} runs done"


def _cells(status: RunProgress) -> list[str]:
    """One text for each of ``_COLUMNS``."""
    return [
        f"{status.step}/{status.total_steps}" if status.total_steps else "",
        number(status.loss),
        percent(status.accuracy, 1),
        percent(status.validation, 1),
        clock(status.left_s),
    ]
