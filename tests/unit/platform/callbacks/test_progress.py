from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from metaray.platform.callbacks.console import EvaluationProgress, TrainingProgress

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """A console over a string, and its clock."""

    def __init__(self, is_terminal: bool) -> None:
        self.now_s = 0.0
        self._file = io.StringIO()
        self.console = Console(
            file=self._file,
            force_terminal=is_terminal,
            width=100,
            get_time=lambda: self.now_s,
            _environ={"TERM": "xterm-256color"},
        )

    @property
    def raw(self) -> str:
        return self._file.getvalue()

    @property
    def text(self) -> str:
        return ESCAPE.sub("", self.raw)

    @property
    def lines(self) -> list[str]:
        return self.raw.splitlines()


@pytest.fixture(name="terminal")
def fixture_terminal() -> Screen:
    return Screen(is_terminal=True)


@pytest.fixture(name="log")
def fixture_log() -> Screen:
    return Screen(is_terminal=False)


def row(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "loss": 0.5, "accuracy": 0.75, "tasks_per_s": 40.0, "workers": 2} | more


def steps_of(screen: Screen) -> list[int]:
    return [int(found) for found in re.findall(r"^step (\d+)/", screen.raw, flags=re.MULTILINE)]


def test_terminal_shows_the_figures_under_a_bar(terminal: Screen) -> None:
    with TrainingProgress(terminal.console, 10) as progress:
        progress.step(row(1))
        terminal.now_s = 30.0
        progress.step(row(2, workers=1, val_accuracy=0.913, val_ci95=0.0123))
    last = terminal.text[terminal.text.rindex("meta-training") :]
    assert "2/10" in last
    assert "━" in last
    for figure in ("loss 0.5", "accuracy 75.0 %", "validation 91.3 % ± 1.2", "40 tasks/s"):
        assert figure in last
    assert "1 worker " in last
    assert "0:00:30" in last
    assert ESCAPE.search(terminal.raw)


def test_terminal_counts_from_the_step_of_a_resumed_run(terminal: Screen) -> None:
    with TrainingProgress(terminal.console, 10, start_step=6):
        pass
    assert " 6/10" in terminal.text


def test_terminal_estimates_the_time_left(terminal: Screen) -> None:
    with TrainingProgress(terminal.console, 100, start_step=40) as progress:
        for step in range(41, 51):
            terminal.now_s += 2.0
            progress.step(row(step))
    last = terminal.text[terminal.text.rindex("50/100") :]
    assert re.search(r"0:01:(3|4)\d left", last)  # 50 steps of about two seconds


def test_messages_stand_above_the_panel(terminal: Screen) -> None:
    with TrainingProgress(terminal.console, 10) as progress:
        progress.step(row(1))
        progress.message("worker 3 was lost")
        progress.step(row(2))
    assert terminal.text.index("worker 3 was lost") < terminal.text.rindex("meta-training")


def test_log_has_no_control_characters(log: Screen) -> None:
    with TrainingProgress(log.console, 3) as progress:
        for step in (1, 2, 3):
            progress.step(row(step))
        progress.message("checkpoint [bold]saved[/bold] " + "far away " * 30)
    assert re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f]*", log.raw)
    assert "[bold]saved[/bold]" in log.lines[-1]
    assert len(log.lines[-1]) > 200


def test_a_line_says_where_the_run_stands(log: Screen) -> None:
    """The rate is that since the first step, without the start of the workers."""
    with TrainingProgress(log.console, 100, start_step=20) as progress:
        log.now_s = 60.0
        progress.step(row(21))
        log.now_s = 70.0
        progress.step(row(41, val_accuracy=0.9, val_ci95=0.01))
    assert log.lines == [
        "step 21/100  loss 0.5  accuracy 75.0 %  40 tasks/s  2 workers  0:01:00 elapsed",
        "step 41/100  loss 0.5  accuracy 75.0 %  validation 90.0 % ± 1.0  40 tasks/s  2 workers  "
        "0:01:10 elapsed, 0:00:30 left",
    ]


def timed(log: Screen, seconds_per_step: float, total: int) -> Iterator[int]:
    for step in range(1, total + 1):
        log.now_s += seconds_per_step
        yield step


def test_fast_steps_are_told_every_ten_seconds(log: Screen) -> None:
    with TrainingProgress(log.console, 200) as progress:
        for step in timed(log, 0.25, 200):  # 5 % take 2.5 s
            progress.step(row(step))
    assert steps_of(log) == [1, 41, 81, 121, 161, 200]


def test_slow_steps_are_told_every_twentieth_of_the_run(log: Screen) -> None:
    with TrainingProgress(log.console, 80) as progress:
        for step in timed(log, 30.0, 80):
            progress.step(row(step))
    assert steps_of(log) == [1, *range(5, 80, 4), 80]


def test_every_validation_is_told(log: Screen) -> None:
    with TrainingProgress(log.console, 100) as progress:
        for step in timed(log, 0.01, 30):
            progress.step(row(step, **({"val_mse": 0.25, "val_ci95": 0.05} if step == 7 else {})))
    assert steps_of(log) == [1, 7]
    assert "validation mse 0.25 ± 0.05" in log.lines[1]


def test_regression_has_no_accuracy(log: Screen) -> None:
    with TrainingProgress(log.console, 1) as progress:
        progress.step({"step": 1, "loss": 3.25, "tasks_per_s": 8.0, "workers": 1})
    assert log.lines[0].startswith("step 1/1  loss 3.25  8 tasks/s  1 worker  ")


def test_loss_is_smoothed_without_a_bias_at_the_start(log: Screen) -> None:
    with TrainingProgress(log.console, 2) as progress:
        progress.step(row(1, loss=4.0))
        progress.step(row(2, loss=2.0))
    assert "loss 4 " in log.lines[0]
    shown = float(re.findall(r"loss ([\d.]+)", log.lines[1])[0])
    assert shown == pytest.approx((0.95 * 4 + 2) / 1.95, abs=1e-3)


def test_a_loss_that_is_not_finite_does_not_spoil_the_mean(log: Screen) -> None:
    with TrainingProgress(log.console, 2) as progress:
        progress.step(row(1, loss=4.0))
        progress.step(row(2, loss=None))
    assert "loss 4 " in log.lines[1]


def test_evaluation_in_a_log(log: Screen) -> None:
    with EvaluationProgress(log.console, "meta-test", 40) as progress:
        for _ in range(5):
            log.now_s += 4.0
            progress.advance(8)
    assert [line.split("  ")[0] for line in log.lines] == [
        "meta-test: episode 8/40",
        "meta-test: episode 32/40",
        "meta-test: episode 40/40",
    ]


def test_evaluation_on_a_terminal(terminal: Screen) -> None:
    with EvaluationProgress(terminal.console, "meta-test", 40) as progress:
        progress.advance(8)
        progress.advance(16)
    assert "meta-test" in terminal.text
    assert "24/40" in terminal.text


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_time_budget_bounds_the_time_left(is_terminal: bool) -> None:
    screen = Screen(is_terminal)
    with TrainingProgress(screen.console, 1_000_000, 0, at_most_s=90.0) as progress:
        screen.now_s = 30.0
        progress.step(row(1))
    assert "0:01:00" in screen.text
