"""What a person sees while a run computes: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text
from typing_extensions import Self, override

from metaray.platform.common.formatting import clock, percent, score_with_margin

_REFRESHES_PER_S = 4  # the panel shares the CPU with the workers
_LINE_EVERY_S = 10.0
_LINE_EVERY_SHARE = 0.05
_SMOOTHING_STEPS = 20
_RATES = {"tasks_per_s": "tasks/s", "examples_per_s": "images/s"}


class TrainingProgress:
    """Progress of a training, as a context manager."""

    def __init__(
        self,
        console: Console,
        total_steps: int,
        start_step: int = 0,
        at_most_s: float | None = None,
        title: str = "meta-training",
    ) -> None:
        """``start_step`` steps of ``total_steps`` are done already (on resume).

        ``at_most_s`` is what a time budget leaves for the rest.
        """
        self._console = console
        self._metrics = _Metrics()
        self._plain = _PlainLines(console, "step", total_steps, start_step, at_most_s)
        self._live = _live_panel(console, title) if _is_live(console) else None
        if self._live:
            self._live.add_task(
                "step", total=total_steps, completed=start_step, at_most_s=at_most_s
            )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def step(self, row: Mapping[str, Any]) -> None:
        """Show the metrics of an outer step (the keys are those of ``metrics.jsonl``)."""
        self._metrics.add(row)
        if self._live:
            self._live.details = self._metrics.parts()
            self._live.update(self._live.task_ids[0], completed=row["step"])
        else:
            was_validated = "val_ci95" in row
            self._plain.show(row["step"], self._metrics.parts(), at_once=was_validated)

    def message(self, text: str) -> None:
        """Tell an event of the run, above the panel or as a line."""
        print_line(self._console, text)


class EvaluationProgress:
    """Progress over the episodes of a test, as a context manager.

    Not for validations within ``TrainingProgress``: a terminal has one live panel at a time.
    """

    def __init__(self, console: Console, label: str, total: int) -> None:
        self._done = 0
        self._plain = _PlainLines(console, f"{label}: episode", total, 0)
        self._live = _live_panel(console, label) if _is_live(console) else None
        if self._live:
            self._live.add_task("episode", total=total)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def advance(self, n: int) -> None:
        """``n`` more episodes are done."""
        self._done += n
        if self._live:
            self._live.advance(self._live.task_ids[0], n)
        else:
            self._plain.show(self._done, ())


class _Panel(Progress):
    """One bar, and under it the metrics of the run."""

    title = ""
    details: Iterable[str] = ()

    @override
    def get_renderables(self) -> Iterable[RenderableType]:
        grid = Table.grid(expand=True)
        grid.add_row(self.make_tasks_table(self.tasks))
        if self.details:
            grid.add_row(Text("  ·  ".join(self.details), style="dim"))
        yield Panel(grid, title=self.title, title_align="left", border_style="dim")


def _live_panel(console: Console, title: str) -> _Panel:
    panel = _Panel(
        TextColumn("{task.description}", markup=False),
        MofNCompleteColumn(),
        BarColumn(bar_width=None),
        TimeElapsedColumn(),
        _TimeLeft(),
        TextColumn("left"),
        console=console,
        expand=True,
        refresh_per_second=_REFRESHES_PER_S,
        get_time=console.get_time,
    )
    panel.title = title
    return panel


class _TimeLeft(TimeRemainingColumn):
    """The time left by the rate so far, or by the time budget where that ends first."""

    @override
    def render(self, task: Task) -> Text:
        """As ``0:01:30``."""
        at_most_s, elapsed_s = task.fields.get("at_most_s"), task.elapsed or 0.0
        if at_most_s is None:
            return super().render(task)
        left_s = max(0.0, at_most_s - elapsed_s)
        by_rate_s = task.time_remaining
        return Text(clock(left_s if by_rate_s is None else min(left_s, by_rate_s)))


class _PlainLines:
    """Lines for a log file, seldom enough to be read."""

    def __init__(
        self,
        console: Console,
        unit: str,
        total: int,
        start: int,
        at_most_s: float | None = None,
    ) -> None:
        self._console, self._unit, self._total = console, unit, total
        self._at_most_s = at_most_s
        self._began_s = console.get_time()
        self._last_done, self._last_s = start, -float("inf")
        self._first: tuple[int, float] | None = None

    def show(self, done: int, details: Iterable[str], at_once: bool = False) -> None:
        """Print where things stand if a line is due, at the end, or ``at_once``."""
        now_s = self._console.get_time()
        is_due = (
            now_s - self._last_s >= _LINE_EVERY_S
            and done - self._last_done >= _LINE_EVERY_SHARE * self._total
        )
        if not (self._first is None or is_due or at_once or done == self._total):
            return
        self._last_done, self._last_s = done, now_s
        times = f"{clock(now_s - self._began_s)} elapsed"
        left_s = self._left_s(done, now_s)
        if left_s is not None:
            times += f", {clock(left_s)} left"
        self._first = self._first or (done, now_s)
        print_line(
            self._console, "  ".join([f"{self._unit} {done}/{self._total}", *details, times])
        )

    def _left_s(self, done: int, now_s: float) -> float | None:
        """By the rate since the first line: before it, workers started, which says nothing."""
        if done == self._total:
            return 0.0
        budget_s = self._at_most_s and max(0.0, self._at_most_s - (now_s - self._began_s))
        if self._first is None or done == self._first[0]:
            return budget_s
        since, since_s = self._first
        by_rate_s = (now_s - since_s) * (self._total - done) / (done - since)
        return by_rate_s if budget_s is None else min(by_rate_s, budget_s)


class _Metrics:
    """The latest metrics of training; loss, accuracy and rate are smoothed over about 20 steps."""

    def __init__(self) -> None:
        self._smooth: dict[str, tuple[float, float]] = {}
        self._workers: int | None = None
        self._validation: str | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in a row of metrics."""
        for key in ("loss", "accuracy", *_RATES):
            if row.get(key) is not None:
                self._average(key, float(row[key]))
        self._workers = row.get("workers", self._workers)
        ci95 = row.get("val_ci95")
        if ci95 is not None and row.get("val_accuracy") is not None:
            self._validation = score_with_margin(row["val_accuracy"], ci95, digits=1)
        elif ci95 is not None and row.get("val_mse") is not None:
            self._validation = f"mse {row['val_mse']:.4g} ± {ci95:.2g}"

    def parts(self) -> list[str]:
        """The metrics that there are, ready to print."""
        shown = {key: total / weight for key, (total, weight) in self._smooth.items()}
        parts = [f"loss {shown['loss']:.4g}"] if "loss" in shown else []
        if "accuracy" in shown:
            parts.append(f"accuracy {percent(shown['accuracy'], 1)}")
        if self._validation:
            parts.append(f"validation {self._validation}")
        parts += [f"{shown[key]:.4g} {unit}" for key, unit in _RATES.items() if key in shown]
        if self._workers is not None:
            parts.append(f"{self._workers} worker{'' if self._workers == 1 else 's'}")
        return parts

    def _average(self, key: str, value: float) -> None:
        """Exponential mean as a sum and its weight, so that the first steps are not biased."""
        total, weight = self._smooth.get(key, (0.0, 0.0))
        keep = 1 - 1 / _SMOOTHING_STEPS
        self._smooth[key] = (keep * total + value, keep * weight + 1)


def _is_live(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal


def print_line(console: Console, text: str) -> None:
    """A line as it is: brackets are no markup, and a log is not wrapped at 80 columns."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
