"""The view on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from time import sleep

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from metaray.platform.common.formatting import clock, value_text
from metaray.platform.run.status import Event, TrialState, WorkerState
from metaray.platform.watch.reader import RunReader, SweepReader
from metaray.platform.watch.snapshot import Snapshot
from metaray.platform.watch.text_plot import text_plot

REFRESH_S = 1.0
_PLOT_HEIGHT = 8
_EVENTS = 6
_TRIALS = 12
_WORKERS = 24
_STYLES = {
    "training": "cyan", "testing": "cyan", "starting": "blue", "running": "cyan", "busy": "cyan",
    "idle": "green", "waiting": "blue", "complete": "green", "done": "green", "leaving": "yellow",
    "stopped": "yellow", "silent": "yellow", "pruned": "dim", "replaced": "dim", "lost": "red",
    "failed": "red", "killed": "red",
}  # fmt: skip


def watch(reader: RunReader | SweepReader, console: Console, once: bool) -> None:
    """Show a run until it ends; or once, as also where there is no terminal."""
    snapshot = reader.read()
    if once or not console.is_terminal or snapshot.is_over:
        console.print(view(snapshot, console.width), soft_wrap=False)  # lines stay in the panel
        return
    with Live(view(snapshot, console.width), console=console, auto_refresh=False) as live:
        while not snapshot.is_over:
            sleep(REFRESH_S)
            snapshot = reader.read()
            live.update(view(snapshot, console.width), refresh=True)


def view(snapshot: Snapshot, width: int) -> RenderableType:
    """All that there is to see, ``width`` columns wide."""
    inner = max(40, width - 4)
    parts: list[RenderableType] = [_progress(snapshot)]
    parts += [Text(sentence, style="bold green") for sentence in snapshot.result]
    if snapshot.metrics:
        parts.append(Text("  ·  ".join(snapshot.metrics)))
    if snapshot.plots:
        side_by_side = len(snapshot.plots) > 1 and inner >= 100
        each = inner // 2 - 1 if side_by_side else inner
        parts += [Text(), Columns([text_plot(p, each, _PLOT_HEIGHT) for p in snapshot.plots])]
    if snapshot.workers:
        parts += [Text(), _workers(snapshot.workers)]
    if snapshot.trials:
        parts += [Text(), _trials(snapshot)]
    if snapshot.events:
        parts += [Text(), _events(snapshot.events)]
    return Panel(
        Group(*parts),
        title=Text(f"{snapshot.title} ({snapshot.folder})"),
        title_align="left",
        border_style="dim",
        width=width,
    )


def _progress(snapshot: Snapshot) -> RenderableType:
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column()
    grid.add_column()
    grid.add_column(ratio=1)
    grid.add_column()
    times = [f"{clock(snapshot.elapsed_s)} elapsed"] if snapshot.elapsed_s is not None else []
    if snapshot.left_s is not None:
        times.append(f"{clock(snapshot.left_s)} left")
    grid.add_row(
        _state(snapshot.state),
        f"{snapshot.unit} {snapshot.done}/{snapshot.total}",
        ProgressBar(total=max(1, snapshot.total), completed=snapshot.done),
        ", ".join(times),
    )
    return grid


def _workers(workers: Sequence[WorkerState]) -> RenderableType:
    table = Table("worker", "state", "process", "machine", box=None, pad_edge=False)
    for worker in workers[-_WORKERS:]:
        pid = "" if worker.pid is None else str(worker.pid)
        table.add_row(str(worker.number), _state(worker.state), pid, Text(worker.node or ""))
    if len(workers) > _WORKERS:
        table.caption = f"and {len(workers) - _WORKERS} more"
    return table


def _trials(snapshot: Snapshot) -> RenderableType:
    """What runs, the best, and the latest others."""
    best = snapshot.best.trial if snapshot.best else None

    def rank(trial: TrialState) -> tuple[bool, bool, int]:
        return trial.state != "running", trial.number != best, -trial.number

    shown = sorted(sorted(snapshot.trials, key=rank)[:_TRIALS], key=lambda trial: trial.number)
    keys = list(dict.fromkeys(key for trial in shown for key in trial.values))
    metrics = [n for n in ("val_accuracy", "val_mse", "val_loss") if _has(shown, n)]
    heads = (Column(Text(name)) for name in ("trial", "state", "step", *metrics, *keys))
    table = Table(*heads, box=None, pad_edge=False)
    for trial in shown:
        table.add_row(
            f"{trial.number}{'*' if trial.number == best else ''}",
            _state(trial.state),
            Text(str(trial.metrics.get("step", ""))),
            *(Text(value_text(trial.metrics.get(name))) for name in metrics),
            *(Text(value_text(trial.values.get(key))) for key in keys),
            style="bold" if trial.number == best else "",
        )
    return table


def _has(trials: Sequence[TrialState], metric: str) -> bool:
    return any(trial.metrics.get(metric) is not None for trial in trials)


def _events(events: Sequence[Event]) -> RenderableType:
    text = Text()
    for event in events[-_EVENTS:]:
        at = datetime.fromtimestamp(event.at)
        text.append(f"{at:%H:%M:%S}  ", style="dim")
        text.append(f"{event.text}\n")
    text.rstrip()
    return text


def _state(state: str) -> Text:
    return Text(state, style=_STYLES.get(state, ""))
