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
from typing_extensions import Self

from metaray.platform.common import formatting
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


class SweepProgress:
    """An ``SweepCallback`` with a console, as a context manager."""

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

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def started(self, number: int, values: dict[str, Any]) -> None:
        """A trial begins, or goes on after it waited."""
        line = self._lines.get(number)
        if line is None:
            line = self._lines[number] = _Line(number, {})
            self._say(f"trial {number} began: {_values(values)}")
        line.state, line.values = "running", values

    def waits(self, number: int) -> None:
        """A trial has come as far as it may go alone."""
        self._lines[number].state = "waiting"

    def on_exploit(self, takeover: Exploit) -> None:
        """A trial goes on from the parameters of another."""
        name = self._metrics[0]
        values = metric_text(name, takeover.value), metric_text(name, takeover.source_value)
        line = self._lines.setdefault(takeover.trial, _Line(takeover.trial, {}))
        line.metrics = {**line.metrics, name: takeover.source_value}
        self._say(
            f"trial {takeover.trial} ({values[0]}) takes over from trial {takeover.source} "
            f"({values[1]}) at step {takeover.step}: {_values(takeover.rates)}"
        )

    def validated(self, number: int, metrics: Metrics) -> None:
        """A trial has come this far; one that goes on tells again what it told before."""
        line = self._lines.setdefault(number, _Line(number, {}))
        if metrics["step"] <= line.metrics.get("step", 0):
            return
        line.metrics = metrics
        if line.state == "running" and metrics["step"] < self._outer_steps:
            self._say(f"trial {number}: step {metrics['step']}, {self._texts(metrics)}")

    def ended(self, number: int, state: str, metrics: Metrics, reason: str | None) -> None:
        """A trial is over."""
        line = self._lines.setdefault(number, _Line(number, {}))
        line.state, line.reason = state, reason
        line.metrics = metrics or line.metrics
        if state != "unfinished":
            self._done += 1
        if state == "complete" and (self._best is None or self._is_better(line, self._best)):
            self._best = line
        outcome = self._texts(line.metrics) if line.metrics and reason is None else reason or ""
        at = f" at step {line.metrics['step']}" if "step" in line.metrics and not reason else ""
        parts = [f"trial {number} {state}{at}", outcome]
        if self._best:
            parts.append(f"best: trial {self._best.number}, {self._texts(self._best.metrics)}")
        parts += [f"{self._done} of {self._total} trials", self._times()]
        self._say("; ".join(part for part in parts if part))

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
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def metric_text(name: str, value: float | None) -> str:
    """A metric as people read it."""
    if value is None:
        return ""
    if name == "val_accuracy":
        return f"{value:.1%}"
    return f"{value:.4g} s" if name.endswith("_s") else f"{value:.4g}"


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_value(value)}" for key, value in values.items())


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
