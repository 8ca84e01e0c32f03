"""The study as the one memory of a sweep, over real small trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from metaray.algorithms.errors import InputError
from metaray.platform.common.errors import TrainingError
from metaray.platform.config.loading import read_config
from metaray.platform.config.meta import RunConfig
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.sweep import study as studies
from metaray.platform.sweep.outcome import TrialResult
from metaray.platform.sweep.sampling import draw, grid_of, grid_size, make_sampler
from metaray.tune_spaces.space import Choice, Float, Int, Space

Make = Callable[..., Any]


def test_every_sampled_value_is_in_the_config_that_the_trial_ran_with(bench: Make) -> None:
    sweep = bench(num_trials=3, sampler="random")
    sweep.run()
    assert [trial.state for trial in sweep.trials] == [TrialState.COMPLETE] * 3
    for trial in sweep.trials:
        config = read_config(RunConfig, RunDirectory(sweep.folder.trial(trial.number)).config)
        for path, value in trial.params.items():
            section, leaf = path.split(".")
            assert getattr(getattr(config, section), leaf) == value


def test_a_range_with_a_condition_is_searched_only_under_it(bench: Make) -> None:
    sweep = bench(num_trials=1)
    searcher = sweep.searcher()
    seen = set()
    for number in range(12):
        sweep.study.sampler = make_sampler("random", sweep.space, 0, number)
        values = draw(sweep.space, sweep.study.ask(), searcher._fixed)
        assert ("train.lr_step_every" in values) == (values["train.schedule"] == "step")
        seen.add(values["train.schedule"])
    assert seen == {"constant", "step"}


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_an_interrupted_sweep_tries_what_an_undisturbed_one_tries(
    bench: Make, sampler: str
) -> None:
    whole, broken = (bench(name, sampler=sampler, num_trials=4) for name in ("whole", "broken"))
    whole.run()
    for _ in range(4):
        broken.run(at_most=1)  # a new searcher over the study on the disk each time
    assert [t.params for t in broken.trials] == [t.params for t in whole.trials]
    assert [t.values for t in broken.trials] == [t.values for t in whole.trials]


def test_seeds_differ(bench: Make) -> None:
    one, two = (bench(name, seed=seed, num_trials=1) for name, seed in (("one", 1), ("two", 2)))
    one.run()
    two.run()
    assert one.trials[0].params != two.trials[0].params


def test_a_trial_that_was_left_goes_on_under_its_number(bench: Make) -> None:
    sweep = bench(num_trials=2)
    killed = sweep.searcher()
    order = killed.suggest("a")
    assert isinstance(order, dict)  # and the process is gone
    sweep.run()
    assert len(sweep.trials) == 2
    assert [trial.state for trial in sweep.trials] == [TrialState.COMPLETE] * 2


def test_a_trial_that_ended_before_the_study_knew_is_not_run_again(bench: Make) -> None:
    sweep = bench(num_trials=1)
    killed = sweep.searcher()
    order = killed.suggest("a")
    assert isinstance(order, dict)
    metrics = {"step": 4, "val_accuracy": 0.625, "wall_s": 1.0}
    TrialResult(metrics=metrics).write(make_folder(sweep, 0))
    sweep.run()
    assert sweep.trials[0].state == TrialState.COMPLETE
    assert sweep.trials[0].values == [0.625]
    assert not RunDirectory(sweep.folder.trial(0)).metrics.exists()


def test_a_trial_that_the_scheduler_ended_is_no_result(bench: Make) -> None:
    sweep = bench(num_trials=1)
    searcher = sweep.searcher()
    assert isinstance(searcher.suggest("a"), dict)
    searcher.on_trial_complete("a", {"step": 2, "val_accuracy": 0.5})
    (trial,) = sweep.trials
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {2: 0.5}
    assert studies.last_step(trial) == 2
    assert studies.best(sweep.study) is None


def test_what_runs_when_the_sweep_is_stopped_stays_unfinished(bench: Make) -> None:
    sweep = bench(num_trials=1)
    searcher = sweep.searcher()
    assert isinstance(searcher.suggest("a"), dict)
    sweep.stopping = lambda: True
    searcher.on_trial_complete("a", {"step": 2, "val_accuracy": 0.5})
    assert sweep.trials[0].state == TrialState.RUNNING
    assert isinstance(searcher.suggest("b"), str)
    sweep.stopping = lambda: False
    sweep.run()
    assert [trial.state for trial in sweep.trials] == [TrialState.COMPLETE]


def test_what_ends_while_the_sweep_is_being_stopped_is_a_result(bench: Make) -> None:
    sweep = bench(num_trials=2)
    searcher = sweep.searcher()
    assert all(isinstance(searcher.suggest(name), dict) for name in "ab")
    sweep.stopping = lambda: True
    for name in "ab":
        searcher.on_trial_complete(name, {"step": 2, "val_accuracy": 0.5})
    metrics = {"step": 4, "val_accuracy": 0.625, "wall_s": 1.0}
    TrialResult(metrics=metrics).write(make_folder(sweep, 1))
    searcher.conclude_ended()
    assert [trial.state for trial in sweep.trials] == [TrialState.RUNNING, TrialState.COMPLETE]
    assert sweep.trials[1].values == [0.625]


def test_a_study_in_the_folder_is_found_there_whatever_storage_others_have(bench: Make) -> None:
    sweep = bench()
    sweep.searcher().suggest("a")
    study = studies.load_study(sweep.plan, sweep.folder, "postgresql://me@127.0.0.1:1/others")
    assert len(study.trials) == 1


def test_a_trial_that_tune_did_not_start_is_proposed_again(bench: Make) -> None:
    sweep = bench(num_trials=1)
    searcher = sweep.searcher()
    first = searcher.suggest("a")
    assert searcher.suggest("b") is None  # "a" may come back
    searcher.take_back("a")
    searcher.take_back("a")  # Tune shows it at every step
    assert searcher.suggest("c") == first
    assert [trial.state for trial in sweep.trials] == [TrialState.RUNNING]


def test_a_trial_that_tune_never_starts_fails_with_its_reason(bench: Make) -> None:
    sweep = bench(num_trials=1)
    searcher = sweep.searcher()
    for attempt in range(6):
        assert isinstance(searcher.suggest(f"t{attempt}"), dict)
        searcher.take_back(f"t{attempt}")
    assert searcher.suggest("after") == "FINISHED"
    assert "could not start it in 6 attempts" in str(studies.failure(sweep.trials[0]))


def test_no_more_trials_are_proposed_than_may_run_at_once(bench: Make) -> None:
    sweep = bench(num_trials=3)
    sweep.parallel = 2
    searcher = sweep.searcher()
    assert all(isinstance(searcher.suggest(name), dict) for name in "ab")
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("a", {"step": 2, "val_accuracy": 0.5})
    assert isinstance(searcher.suggest("d"), dict)


def test_trials_that_are_missing_at_the_end_are_named(bench: Make) -> None:
    from metaray.platform.sweep.runner import check_complete

    sweep = bench(num_trials=3)
    sweep.searcher().suggest("a")
    with pytest.raises(TrainingError, match=r"ended before trials 0, 1, 2 were done.*--resume"):
        check_complete(sweep.study, 3, sweep.folder)


def test_a_failure_has_its_reason_and_the_sweep_goes_on(bench: Make) -> None:
    sweep = bench(num_trials=2)
    searcher = sweep.searcher()
    assert isinstance(searcher.suggest("a"), dict)
    TrialResult(metrics={}, failure="the loss is infinite").write(make_folder(sweep, 0))
    searcher.on_trial_complete("a", {"step": 2, "val_accuracy": 0.9})
    assert studies.failure(sweep.trials[0]) == "the loss is infinite"
    sweep.run()
    assert [trial.state for trial in sweep.trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_values_that_exclude_each_other_are_a_failed_trial(bench: Make) -> None:
    space: Space = {
        "task.train_ways": Choice((5, 7))
    }  # MAML's head has as many outputs as the test
    sweep = bench(space=space, num_trials=2, sampler="grid")
    sweep.run()
    states = {t.params["task.train_ways"]: t.state for t in sweep.trials}
    assert states == {5: TrialState.COMPLETE, 7: TrialState.FAIL}
    failed = next(t for t in sweep.trials if t.state == TrialState.FAIL)
    assert "must equal task.ways" in str(studies.failure(failed))


def test_a_paused_trial_ends_with_the_bits_of_one_that_was_not(bench: Make) -> None:
    class Paused(BaseException):
        """What Tune raises in a trial's thread is no Exception either."""

    def pause(metrics: dict[str, Any]) -> None:
        raise Paused

    whole, paused = bench("whole", num_trials=1), bench("paused", num_trials=1)
    whole.run()
    order = paused.searcher().suggest("a")
    with pytest.raises(Paused):
        paused.train(order, pause)
    assert TrialResult.read(paused.folder.trial(0)) is None
    paused.run()
    results = [TrialResult.read(sweep.folder.trial(0)) for sweep in (whole, paused)]
    first, second = ({**result.metrics, "wall_s": 0.0} for result in results if result)
    assert first == second
    for sweep in (whole, paused):
        rows = MetricsLog.read(RunDirectory(sweep.folder.trial(0)).metrics)
        assert [row["step"] for row in rows] == [1, 2, 3, 4]


def test_two_metrics_make_a_front(bench: Make) -> None:
    sweep = bench(num_trials=3, metrics=("val_accuracy", "adapt_s"))
    sweep.run()
    assert all(len(trial.values) == 2 for trial in sweep.trials)
    assert all(trial.values[1] > 0 for trial in sweep.trials)
    best = studies.best(sweep.study)
    assert best is not None
    assert best.values[0] == max(trial.values[0] for trial in sweep.trials)


def test_the_metrics_are_those_of_the_parameters_that_are_kept(bench: Make) -> None:
    sweep = bench(num_trials=1)
    sweep.run()
    run = RunDirectory(sweep.folder.trial(0))
    best = max(row["val_accuracy"] for row in MetricsLog.read(run.metrics) if "val_ci95" in row)
    assert sweep.trials[0].values == [best]


def test_a_grid_visits_each_point_once(bench: Make) -> None:
    space: Space = {"train.schedule": Choice(("constant", "linear")), "task.train_shots": Int(1, 2)}
    assert grid_size(space) == 4
    sweep = bench(space=space, sampler="grid")
    sweep.run()
    assert len({tuple(sorted(t.params.items())) for t in sweep.trials}) == 4


def test_grid_points_are_ends_and_middle() -> None:
    grid = grid_of({"a": Float(0.01, 1.0, log=True), "b": Int(1, 9)})
    np.testing.assert_allclose(grid["a"], [0.01, 0.1, 1.0])
    assert grid["b"] == [1, 5, 9]


def test_a_grid_has_no_conditions() -> None:
    with pytest.raises(InputError, match="without conditions"):
        grid_of({"a": Int(1, 2, when={"train.schedule": "step"})})


def test_a_python_space_is_searched(bench: Make) -> None:
    def space(trial: Any) -> None:
        if trial.suggest_categorical("train.schedule", ["constant", "step"]) == "step":
            trial.suggest_int("train.lr_step_every", 1, 3)

    sweep = bench(space=space, num_trials=2)
    sweep.run()
    assert [trial.state for trial in sweep.trials] == [TrialState.COMPLETE] * 2


def make_folder(sweep: Any, number: int) -> Any:
    folder = sweep.folder.trial(number)
    folder.mkdir(parents=True)
    return folder
