"""Tables, best.toml and the page of a small real sweep, and what is told while it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from metaray.platform.config.loading import validate_as
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.results import write_config
from metaray.platform.sweep import study as studies
from metaray.platform.sweep.best import write_best
from metaray.platform.sweep.events import (
    TrialEnded,
    TrialExploited,
    TrialPaused,
    TrialStarted,
    TrialValidated,
)
from metaray.platform.sweep.outcome import TrialResult
from metaray.platform.sweep.page import write_sweep_page
from metaray.platform.sweep.population import Exploit
from metaray.platform.sweep.progress import SweepProgress
from metaray.platform.sweep.results import SweepResult, write_results
from metaray.platform.sweep.words import headline, outcome_counts
from metaray.tune_spaces.space import Float, Int, Space

Make = Callable[..., Any]
TEST = {
    "accuracy": 0.5, "ci95": 0.02, "baseline_accuracy": 0.3, "baseline_ci95": 0.01,
    "ways": 5, "num_episodes": 10,
}  # fmt: skip
SHAPES: Space = {
    "task.train_shots": Int(1, 2),
    "task.shots": Int(1, 2),
    "task.train_queries": Int(1, 2),
    "method.inner_lr": Float(0.1, 1.0, log=True),
}


def finished(sweep: Any) -> SweepResult:
    """Five results and one trial each that was ended early and that failed, without training."""
    searcher = sweep.searcher()
    for index in range(7):
        order = searcher.suggest(f"t{index}")
        folder = sweep.folder.trial(index)
        folder.mkdir(parents=True)
        config = validate_as(RunConfig, json.loads(order["config"]))
        write_config(folder / "config.json", config)
        metrics = {"step": 4, "wall_s": 1.0, "adapt_s": 0.01 * (index + 1)}
        metrics["val_accuracy"] = 0.4 + 0.1 * (index % 4)
        if index == 5:
            metrics["step"] = 2
        elif index == 6:
            TrialResult(metrics={}, failure="not finite <script>").write(folder)
        else:
            TrialResult(metrics=metrics).write(folder)
        searcher.on_trial_complete(f"t{index}", metrics)
    study = studies.load_study(sweep.plan, sweep.folder, None)
    return write_results(sweep.plan, sweep.folder, study, TEST)


@pytest.fixture
def result(bench: Make) -> tuple[Any, SweepResult]:
    sweep = bench(num_trials=7, space=SHAPES, sampler="random")
    return sweep, finished(sweep)


def test_the_table_has_a_row_for_each_trial_with_its_state(result: tuple[Any, SweepResult]) -> None:
    sweep, _ = result
    table = pq.read_table(sweep.folder.trials_table).to_pylist()
    assert [row["state"] for row in table] == ["complete"] * 5 + ["pruned", "failed"]
    assert [row["step"] for row in table][:6] == [4, 4, 4, 4, 4, 2]
    assert table[6]["reason"] == "not finite <script>"
    assert table[3]["val_accuracy"] == pytest.approx(0.7)
    assert {"method.inner_lr", "task.train_shots"} <= table[0].keys()


def test_best_toml_gives_the_config_of_the_best_trial(result: tuple[Any, SweepResult]) -> None:
    sweep, done = result
    assert done.best is not None
    assert done.best.number == 3
    assert META.load(sweep.folder.best) == done.config == sweep.plan.config_of(done.best.values)


def test_best_toml_says_every_setting_null_too(bench: Make) -> None:
    sweep = bench()
    for settings in (
        {"seed": 7, "method": {"name": "protonet"}, "train": {"clip_norm": 1.5}},
        {"method": {"name": "reptile", "inner_optimizer": "sgd"}, "task": {"shots": 5}},
        {"data": {"name": "sinusoid"}, "train": {"schedule": "cosine"}},
        {"data": {"name": "miniimagenet"}, "train": {"clip_value": None}},
    ):
        config = META.resolve(settings)
        write_best(sweep.plan.experiment, config, sweep.folder)
        assert META.load(sweep.folder.best) == config


def test_the_reason_of_a_trial_that_failed_is_a_sentence(tmp_path: Path) -> None:
    from metaray.platform.sweep.trial import failure_reason  # imports Ray

    reason = failure_reason(ValueError("no such axis\n  at layer 3"), tmp_path)
    assert reason == f"ValueError: no such axis (see {tmp_path / 'error.txt'})"


@pytest.mark.drawn
def test_the_page_stands_alone_and_says_what_was_tested(result: tuple[Any, SweepResult]) -> None:
    sweep, done = result
    write_sweep_page(sweep.folder, done)
    page = sweep.folder.page.read_text()
    assert "test classes were touched once" in page
    assert "7 trials: 5 complete, 1 pruned, 1 failed" in page
    assert "not finite &lt;script&gt;" in page
    outside = re.findall(r'(?:src|href|srcset)="(?!data:)([^"]*)"', page)
    assert outside == []
    for title in ("History", "What mattered", "Setting by setting", "All settings together"):
        assert f"<h3>{title}</h3>" in page
    drawn = {path.stem for path in sweep.folder.plots.glob("*.png")}
    assert drawn == {"history", "importance", "slices", "parallel"}


def test_the_page_analyses_importance_once(
    result: tuple[Any, SweepResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    def shares(study: object, **_: object) -> dict[str, float]:
        calls.append(study)
        return {"method.inner_lr": 0.9, "task.shots": 0.1}

    monkeypatch.setattr("optuna.importance.get_param_importances", shares)
    sweep, done = result
    write_sweep_page(sweep.folder, done)
    assert len(calls) == 1


@pytest.mark.drawn
def test_the_page_has_a_front_and_a_map_where_there_are_such(bench: Make) -> None:
    space: Space = {"task.ways": Int(2, 3), "task.train_shots": Int(1, 2)}
    sweep = bench(num_trials=7, space=space, sampler="random", metrics=("val_accuracy", "adapt_s"))
    done = finished(sweep)
    assert done.front
    write_sweep_page(sweep.folder, done)
    drawn = {path.stem for path in sweep.folder.plots.glob("*.png")}
    assert {"pareto", "ways_and_shots"} <= drawn


def test_without_a_complete_trial_there_is_a_page_and_no_best(bench: Make) -> None:
    sweep = bench(num_trials=1)
    searcher = sweep.searcher()
    searcher.suggest("a")
    searcher.on_trial_complete("a", {"step": 2, "val_accuracy": 0.5})
    study = studies.load_study(sweep.plan, sweep.folder, None)
    done = write_results(sweep.plan, sweep.folder, study, None)
    write_sweep_page(sweep.folder, done)
    assert done.best is None
    assert not sweep.folder.best.exists()
    assert headline(done)["label"] == "no complete trial"
    assert outcome_counts(done) == "1 trial: 1 pruned"


def watched(console: Console, clock: Callable[[], float]) -> SweepProgress:
    progress = SweepProgress(
        console,
        metrics=("val_accuracy",),
        outer_steps=4,
        num_trials=4,
        num_done=0,
        parallel=2,
        time_budget_s=100.0,
        clock=clock,
    )
    progress.on_event(TrialStarted(number=0, values={"method.inner_lr": 0.1234567}))
    progress.on_event(TrialValidated(number=0, metrics={"step": 2, "val_accuracy": 0.5}))
    progress.on_event(
        TrialEnded(number=0, state="complete", metrics={"step": 4, "val_accuracy": 0.75})
    )
    progress.on_event(TrialStarted(number=1, values={"method.inner_lr": 1.0}))
    progress.on_event(TrialEnded(number=1, state="failed", metrics={}, reason="too large"))
    return progress


def test_lines_tell_state_accuracy_best_and_time_left() -> None:
    out = StringIO()
    now = iter([0.0, 20.0, 30.0])
    watched(Console(file=out, width=200), lambda: next(now))
    lines = out.getvalue().splitlines()
    assert lines == [
        "trial 0 began: method.inner_lr=0.123",
        "trial 0: step 2, val_accuracy 50.0 %",
        "trial 0 complete at step 4; val_accuracy 75.0 %; best: trial 0, val_accuracy 75.0 %; "
        "1 of 4 trials; 0:00:20 elapsed, about 0:01:00 left",
        "trial 1 began: method.inner_lr=1",
        "trial 1 failed; too large; best: trial 0, val_accuracy 75.0 %; 2 of 4 trials; "
        "0:00:30 elapsed, about 0:00:30 left",
    ]


def test_a_population_waits_takes_over_and_has_time_left_before_any_trial_ends() -> None:
    out, now = StringIO(), iter([0.0, 30.0])
    progress = SweepProgress(
        Console(file=out, width=200),
        metrics=("val_accuracy",),
        outer_steps=4,
        num_trials=2,
        num_done=0,
        parallel=1,
        time_budget_s=None,
        clock=lambda: next(now),
    )
    for number in range(2):
        progress.on_event(TrialStarted(number=number, values={"train.meta_lr": 0.01}))
        progress.on_event(
            TrialValidated(number=number, metrics={"step": 2, "val_accuracy": 0.5 + 0.1 * number})
        )
        progress.on_event(TrialPaused(number=number))
    rates = {"train.meta_lr": 0.012}
    exploit = Exploit(step=2, trial=0, source=1, value=0.5, source_value=0.6, rates=rates)
    progress.on_event(TrialExploited(number=0, exploit=exploit))
    progress.on_event(TrialStarted(number=0, values=rates))
    progress.on_event(
        TrialValidated(number=0, metrics={"step": 2, "val_accuracy": 0.6})
    )  # told again
    assert out.getvalue().splitlines() == [
        "trial 0 began: train.meta_lr=0.01",
        "trial 0: step 2, val_accuracy 50.0 %",
        "trial 1 began: train.meta_lr=0.01",
        "trial 1: step 2, val_accuracy 60.0 %",
        "trial 0 (50.0 %) continues from trial 1 (60.0 %) at step 2: train.meta_lr=0.012",
    ]
    shown = Console(file=out, width=120, no_color=True)
    shown.print(progress._table())
    text = " ".join(out.getvalue().split())
    assert "0:00:30 elapsed, about 0:00:30 left" in text
    assert "0 running 2 60.0 % 0.012" in text
    assert "1 waiting 2 60.0 % 0.01" in text


def test_a_terminal_shows_a_table() -> None:
    out = StringIO()
    progress = watched(Console(file=out, width=120, force_terminal=True), lambda: 0.0)
    shown = Console(file=out, width=120, no_color=True)
    shown.print(progress._table())
    text = out.getvalue()
    assert "2 of 4 trials, 2 at once" in text
    assert re.search(r"0\* +complete +4 +75.0 %", text)
    assert re.search(r"1 +failed", text)
