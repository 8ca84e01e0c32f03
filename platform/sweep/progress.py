"""What a person sees while a sweep runs: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.console import print_line
from metaray.platform.callbacks.events import Event, Message, TrainingEnded, TrainingStarted
from metaray.platform.common import formatting
from metaray.platform.sweep.events import (
    TrialEnded,
    TrialExploited,
    TrialPaused,
    TrialStarted,
    TrialValidated,
)
from metaray.platform.sweep.outcome import Metrics
from metaray.platform.sweep.plan import DIRECTIONS
from metaray.platform.sweep.population import Exploit

_ROWS = 15
_STYLES = {
    "running": "cyan",
    "waiting": "blue",
    "complete": "green",
    "pruned": "dim",
    "failed": "red",
}


@dataclass
class _Line:
    number: int
    values: dict[str, Any]
    state: str = "running"
    metrics: Metrics = field(default_factory=dict)
    reason: str | None = None


class SweepProgress(Callback):
    """The trials of a sweep on a console."""

    in_training_thread = True

    def __init__(
        self,
        console: Console,
        *,
        metrics: tuple[str, ...],
        outer_steps: int,
        num_trials: int,
        num_done: int,
        parallel: int,
        time_budget_s: float | None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._console = console
        self._metrics = metrics
        self._outer_steps = outer_steps
        self._total = num_trials
        self._done_before = self._done = num_done
        self._parallel = parallel
        self._budget_s = time_budget_s
        self._clock = clock
        self._began_s = clock()
        self._lines: dict[int, _Line] = {}
        self._best: _Line | None = None
        live = console.is_terminal and not console.is_dumb_terminal
        self._live = (
            Live(console=console, get_renderable=self._table, refresh_per_second=2)
            if live
            else None
        )

    @override
    def on_event(self, event: Event) -> None:
        match event:
            case TrainingStarted() if self._live:
                self._live.start()
            case TrainingEnded() if self._live:
                self._live.stop()
            case TrialStarted():
                self._start(event)
            case TrialPaused():
                self._lines[event.number].state = "waiting"
            case TrialExploited():
                self._exploit(event.exploit)
            case TrialValidated():
                self._validate(event)
            case TrialEnded():
                self._end(event)
            case Message():
                print_line(self._console, event.text)

    def _line(self, number: int) -> _Line:
        return self._lines.setdefault(number, _Line(number, {}))

    def _start(self, event: TrialStarted) -> None:
        if event.number not in self._lines:
            self._say(f"trial {event.number} began: {_values(event.values)}")
        line = self._line(event.number)
        line.state, line.values = "running", dict(event.values)

    def _exploit(self, exploit: Exploit) -> None:
        name = self._metrics[0]
        values = metric_text(name, exploit.value), metric_text(name, exploit.source_value)
        line = self._line(exploit.trial)
        line.metrics = {**line.metrics, name: exploit.source_value}
        self._say(
            f"trial {exploit.trial} ({values[0]}) continues from trial {exploit.source} "
            f"({values[1]}) at step {exploit.step}: {_values(exploit.rates)}"
        )

    def _validate(self, event: TrialValidated) -> None:
        """One that continues reports again what it has reported before."""
        line, step = self._line(event.number), event.metrics["step"]
        if step <= line.metrics.get("step", 0):
            return
        line.metrics = event.metrics
        if line.state == "running" and step < self._outer_steps:
            self._say(f"trial {event.number}: step {step}, {self._texts(event.metrics)}")

    def _end(self, event: TrialEnded) -> None:
        line = self._line(event.number)
        line.state, line.reason = event.state, event.reason
        line.metrics = event.metrics or line.metrics
        if event.state != "unfinished":
            self._done += 1
        if event.state == "complete" and (self._best is None or self._is_better(line, self._best)):
            self._best = line
        self._say("; ".join(part for part in self._parts_of_end(line) if part))

    def _parts_of_end(self, line: _Line) -> list[str]:
        failed = line.reason is not None
        at = f" at step {line.metrics['step']}" if "step" in line.metrics and not failed else ""
        parts = [
            f"trial {line.number} {line.state}{at}",
            line.reason or (self._texts(line.metrics) if line.metrics else ""),
        ]
        if self._best:
            parts.append(f"best: trial {self._best.number}, {self._texts(self._best.metrics)}")
        return [*parts, f"{self._done} of {self._total} trials", self._times()]

    def _is_better(self, line: _Line, than: _Line) -> bool:
        name = self._metrics[0]
        difference = line.metrics[name] - than.metrics[name]
        return bool(difference > 0 if DIRECTIONS[name] == "maximize" else difference < 0)

    def _texts(self, metrics: Metrics) -> str:
        return ", ".join(
            f"{name} {metric_text(name, metrics[name])}"
            for name in self._metrics
            if name in metrics
        )

    def _times(self) -> str:
        elapsed_s = self._clock() - self._began_s
        text = f"{formatting.clock(elapsed_s)} elapsed"
        left_s = self._left_s(elapsed_s)
        return text if left_s is None else f"{text}, about {formatting.clock(left_s)} left"

    def _left_s(self, elapsed_s: float) -> float | None:
        """By the rate of trials so far, or by the budget where that ends first."""
        begun = [line for line in self._lines.values() if line.state in ("running", "waiting")]
        steps = sum(line.metrics.get("step", 0) for line in begun)
        done = self._done - self._done_before + steps / self._outer_steps
        guesses = []
        if done:
            guesses.append(elapsed_s * (self._total - self._done_before - done) / done)
        if self._budget_s is not None:
            guesses.append(max(0.0, self._budget_s - elapsed_s))
        return min(guesses, default=None)

    def _table(self) -> RenderableType:
        title = f"{self._done} of {self._total} trials, {self._parallel} at once, {self._times()}"
        table = Table(title=title, title_justify="left", title_style="bold", box=None)
        shown = self._shown()
        keys = list(dict.fromkeys(key for line in shown for key in line.values))
        for name in ("trial", "state", "step", *self._metrics, *(k.split(".")[-1] for k in keys)):
            table.add_column(name, justify="left" if name == "state" else "right")
        for line in shown:
            is_best = self._best is not None and line.number == self._best.number
            cells: list[RenderableType] = [
                f"{line.number}{'*' if is_best else ''}",
                Text(line.state, style=_STYLES.get(line.state, "")),
                f"{line.metrics.get('step', '')}",
                *(metric_text(name, line.metrics.get(name)) for name in self._metrics),
                *(_value(line.values[key]) if key in line.values else "" for key in keys),
            ]
            table.add_row(*cells, style="bold" if is_best else "")
        return table

    def _shown(self) -> list[_Line]:
        """What runs, the best, and the latest others."""
        latest = sorted(self._lines.values(), key=lambda n: (n.state != "running", -n.number))
        shown = latest[:_ROWS]
        if self._best and self._best not in shown:
            shown = [*shown[:-1], self._best]
        return sorted(shown, key=lambda line: line.number)

    def _say(self, text: str) -> None:
        if self._live is None:
            print_line(self._console, text)


def metric_text(name: str, value: float | None) -> str:
    """A metric as people read it."""
    if value is None:
        return ""
    if name == "val_accuracy":
        return formatting.percent(value, 1)
    return f"{value:.4g} s" if name.endswith("_s") else f"{value:.4g}"


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_value(value)}" for key, value in values.items())


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
