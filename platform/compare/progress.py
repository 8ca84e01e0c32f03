"""What a person sees while a comparison runs: a live table, or plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from typing_extensions import Self

from metaray.platform.common.formatting import clock, number
from metaray.platform.compare.directory import RunFolder
from metaray.platform.compare.status import RunProgress

_LINE_EVERY_S = 10.0
_COLUMNS = ("step", "loss", "accuracy", "validation", "left")
_STYLES = {"training": "bold", "testing": "bold", "done": "green", "failed": "red"}


class RunsProgress:
    """The state of every run, as a context manager."""

    def __init__(self, console: Console, folders: Sequence[RunFolder]) -> None:
        """``folders`` are all runs; those with measures are done already."""
        self._console = console
        self._statuses: dict[RunFolder, RunProgress] = {
            folder: RunProgress(state="done" if folder.measures.exists() else "waiting")
            for folder in folders
        }
        is_live = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(self.table(), console=console, auto_refresh=False) if is_live else None
        self._last_line_s = console.get_time()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        else:
            self._console.print(self._counts(), soft_wrap=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.update(self.table(), refresh=True)
            self._live.stop()

    @property
    def failures(self) -> dict[RunFolder, str]:
        """Runs that have failed, and why."""
        return {f: s.reason for f, s in self._statuses.items() if s.state == "failed"}

    def update(self, folder: RunFolder, status: RunProgress) -> None:
        """Take in where a run stands."""
        before = self._statuses[folder]
        self._statuses[folder] = status
        if self._live is None and status.state != before.state:
            reason = f": {status.reason}" if status.reason else ""
            self._print(f"{folder.label}: {status.state}{reason}")

    def refresh(self) -> None:
        """Redraw the table, or print a line now and then."""
        now_s = self._console.get_time()
        if self._live:
            self._live.update(self.table(), refresh=True)
        elif now_s - self._last_line_s >= _LINE_EVERY_S:
            self._last_line_s = now_s
            for folder, status in self._statuses.items():
                if status.state == "training":
                    named = zip(_COLUMNS, _cells(status), strict=True)
                    parts = [f"{name} {text}" for name, text in named if text]
                    self._print("  ".join([f"{folder.label}:", *parts]))

    def table(self) -> Table:
        """A row per run."""
        table = Table(box=None, pad_edge=False, caption=self._counts(), caption_justify="left")
        for name in ("run", "state"):
            table.add_column(name)
        for name in _COLUMNS:
            table.add_column(name, justify="right")
        for folder, status in self._statuses.items():
            style = _STYLES.get(status.state, "dim")
            table.add_row(folder.label, f"[{style}]{status.state}[/]", *_cells(status))
        return table

    def _counts(self) -> str:
        states = [status.state for status in self._statuses.values()]
        return f"{states.count('done')} of {len(states)} runs done"

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _cells(status: RunProgress) -> list[str]:
    """One text for each of ``_COLUMNS``."""
    return [
        f"{status.step}/{status.total_steps}" if status.total_steps else "",
        number(status.loss),
        "" if status.accuracy is None else f"{status.accuracy:.1%}",
        "" if status.validation is None else f"{status.validation:.1%}",
        clock(status.left_s),
    ]
