"""Population-based training: who takes over from whom, and what then becomes of a trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from optuna.trial import TrialState
from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.platform.config.loading import read_config
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta import META
from metaray.platform.run.checkpoint import params_sha256, read_checkpoint
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.sweep import study as studies
from metaray.platform.sweep.best import write_best
from metaray.platform.sweep.exploit import read_lineage
from metaray.platform.sweep.outcome import TrialResult
from metaray.platform.sweep.page import write_sweep_page
from metaray.platform.sweep.plan import SweepPlan, make_plan
from metaray.platform.sweep.population import (
    Exploit,
    check_population,
    exploits_at,
    lineage,
    rates_in,
)
from metaray.platform.sweep.results import write_results
from metaray.platform.sweep.words import print_result, rates_changed
from metaray.platform.training.schedule import meta_schedule
from metaray.tune_spaces.registry import SPACES
from metaray.tune_spaces.space import Choice, Float, Int, Space

Make = Callable[..., Any]
TEST = {
    "accuracy": 0.5, "ci95": 0.02, "baseline_accuracy": 0.3, "baseline_ci95": 0.01,
    "ways": 5, "num_episodes": 10,
}  # fmt: skip
RATES: Space = {
    "method.inner_lr": Float(0.05, 2.0, log=True),
    "train.meta_lr": Float(1e-4, 1e-2, log=True),
}
SETS = ["train.outer_steps=6", "train.validate_every=2", "train.keep_checkpoints=9"]


def plan_of(settings: dict[str, Any] | None = None, **options: Any) -> SweepPlan:
    options = {"scheduler": "pbt", "study_name": "sweep", **options}
    return make_plan({"train": {"outer_steps": 400}, **(settings or {})}, **options)


def exploit(step: int, trial: int, source: int, rate: float) -> Exploit:
    rates = {"train.meta_lr": rate}
    return Exploit(step=step, trial=trial, source=source, value=0, source_value=1, rates=rates)


@pytest.mark.parametrize(
    ("space", "options", "complaint"),
    [
        (
            {**RATES, "model.width": Choice((32, 64)), "task.train_shots": Int(1, 5)},
            {},
            "which model.width, task.train_shots cannot be: .* train.meta_lr and method.inner_lr",
        ),
        ({"train.meta_lr": Choice((0.1, 0.2))}, {}, "train.meta_lr cannot be"),
        ({"method.inner_lr": Float(0.1, 1.0)}, {"settings": {"method": {"name": "mamlpp"}}},
         "method.inner_lr cannot be"),
        (RATES, {"num_trials": 1}, "2 or more"),
        (RATES, {"grace": 150}, "multiple of train.validate_every = 100"),
        (RATES, {"grace": 400}, "but they end after 400"),
        (lambda trial: None, {}, "needs a space in TOML"),
    ],
)  # fmt: skip
def test_what_cannot_change_while_a_trial_runs_is_refused(
    space: Any, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        check_population(plan_of(**options), space)


@pytest.mark.parametrize("method", SPACES)
def test_each_method_has_a_population_of_its_own_rates(method: str) -> None:
    plan = plan_of({"method": {"name": method}})
    space = rates_in(SPACES[method], plan)
    check_population(plan, space)
    assert "train.meta_lr" in space


def test_a_learned_rate_is_no_setting_that_could_change() -> None:
    for name, learned in (("mamlpp", True), ("metasgd", True), ("maml", False)):
        rates = META.rates(META.resolve({"method": {"name": name}}))
        assert ("method.inner_lr" in rates) is not learned


def test_the_worst_fifth_goes_on_from_the_best_fifth_with_perturbed_rates() -> None:
    values = {number: 0.1 * number for number in range(10)}
    rates = {number: {"method.inner_lr": 1.0, "train.meta_lr": 1e-2} for number in range(10)}
    found = exploits_at(40, plan_of(seed=3), RATES, values, rates)
    assert [t.trial for t in found] == [1, 0]
    assert {t.source for t in found} <= {8, 9}
    for t in found:
        assert (t.value, t.source_value) == (values[t.trial], values[t.source])
        assert t.rates["method.inner_lr"] in (0.8, 1.2)
        assert t.rates["train.meta_lr"] in (0.008, 0.01)  # 0.012 is out of its range
    assert found == exploits_at(40, plan_of(seed=3), RATES, values, rates)
    others = [exploits_at(40, plan_of(seed=seed), RATES, values, rates) for seed in range(8)]
    assert any(other != found for other in others)


def test_the_best_is_where_the_metric_says() -> None:
    rates = {number: {"method.inner_lr": 1.0} for number in range(2)}
    plan = plan_of(metrics=("val_loss",))
    (found,) = exploits_at(40, plan, RATES, {0: 1.5, 1: 1.0}, rates)
    assert (found.trial, found.source) == (0, 1)
    assert exploits_at(40, plan, RATES, {0: 1.0, 1: 1.0}, rates) == []


def test_the_course_of_rates_follows_the_parameters_back() -> None:
    start = {number: {"train.meta_lr": float(number)} for number in range(3)}
    exploits = [exploit(20, 1, 2, 0.1), exploit(40, 0, 1, 0.2), exploit(60, 1, 2, 0.3)]
    expected = [(0, {"train.meta_lr": 2.0}), (20, {"train.meta_lr": 0.1})]
    assert lineage(0, start, exploits) == [*expected, (40, {"train.meta_lr": 0.2})]
    assert lineage(2, start, exploits) == [(0, {"train.meta_lr": 2.0})]
    assert lineage(1, start, exploits) == [expected[0], (60, {"train.meta_lr": 0.3})]


@pytest.fixture
def population(bench: Make) -> Callable[[str], Any]:
    def make(name: str) -> Any:
        options = {"scheduler": "pbt", "sampler": "random", "num_trials": 5}
        return bench(name, space=RATES, sets=SETS, **options)

    return make


def summary_of(sweep: Any) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(sweep.folder.summary.read_text())
    return summary


def essence(sweep: Any) -> tuple[Any, ...]:
    """What does not depend on the clock, or on who trained when."""
    parameters = [
        params_sha256(
            read_checkpoint(sweep.folder.trial(n) / "checkpoints/step-00000006.safetensors")
        )
        for n in range(5)
    ]
    known = [(t.state, t.params, t.values, t.intermediate_values) for t in sweep.trials]
    return parameters, known, studies.exploits(sweep.study)


def test_a_trial_goes_on_from_the_checkpoint_it_took_over(population: Callable[[str], Any]) -> None:
    sweep = population("whole")
    sweep.run()
    assert [trial.state for trial in sweep.trials] == [TrialState.COMPLETE] * 5
    found = studies.exploits(sweep.study)
    assert list(found) == [2, 4]
    (first,), (second,) = found.values()
    last = second if second.source != first.trial else first
    taker, source = (sweep.folder.trial(number) for number in (last.trial, last.source))
    name = f"checkpoints/step-{last.step:08d}.safetensors"
    theirs, ours = read_checkpoint(source / name), read_checkpoint(taker / name)
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert "optimizer.exp_avg" in ours.tensors
    assert all(ours.tensors[key].equal(theirs.tensors[key]) for key in ours.tensors)
    rows = MetricsLog.read(RunDirectory(taker).metrics)
    assert rows[: last.step] == MetricsLog.read(RunDirectory(source).metrics)[: last.step]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    config = read_config(RunConfig, RunDirectory(taker).config)
    assert config.train.meta_lr == last.rates["train.meta_lr"]
    assert rows[last.step]["meta_lr"] == meta_schedule(config.train).at(last.step)
    assert config.method.inner_lr == last.rates["method.inner_lr"]
    assert read_lineage(taker)[-1] == last.as_dict()


@pytest.mark.drawn
def test_its_page_tells_who_took_over_and_that_no_settings_train_to_the_same(
    population: Callable[[str], Any],
) -> None:
    sweep = population("sweep")
    sweep.run()
    study = studies.load_study(sweep.plan, sweep.folder, None)
    done = write_results(sweep.plan, sweep.folder, study, TEST)
    write_sweep_page(sweep.folder, done)
    assert done.best is not None
    taker = done.trials[done.exploits[-1].trial]
    assert taker.lineage[-1] == (4, done.exploits[-1].rates)
    assert taker.values == done.exploits[-1].rates
    assert dict(taker.curve)[2] == sweep.trials[taker.number].intermediate_values[2]
    assert summary_of(sweep)["takeovers"] == [t.as_dict() for t in done.exploits]
    page = sweep.folder.page.read_text()
    assert "<h2>Exploits</h2>" in page
    assert "the worst fifth of the trials copied the best" in page
    assert {path.stem for path in sweep.folder.plots.glob("*.png")} == {
        "history",
        "curves",
        "rates",
    }

    for best in (done.best, taker):  # one of them may have had its rates from the start
        result = replace(done, best=best)
        told = StringIO()
        print_result(result, sweep.folder.path, Console(file=told, width=500))
        write_best(sweep.plan.experiment, result.config, sweep.folder, best.lineage)
        comment = sweep.folder.best.read_text().startswith("# The rates of the best trial changed")
        assert comment is ("no settings train to the same" in told.getvalue())
        assert comment is rates_changed(result) is (len(best.lineage) > 1)
    assert comment
    assert META.load(sweep.folder.best) == done.config


def test_killed_anywhere_or_side_by_side_it_has_the_same_course(
    population: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken, beside = (population(name) for name in ("whole", "broken", "beside"))
    whole.run()

    from metaray.platform.sweep import population_searcher

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    for _ in range(4):
        broken.run(at_most=1)
    with monkeypatch.context() as patch:
        patch.setattr(population_searcher, "carry_out", killed)
        with pytest.raises(Killed):
            broken.run(at_most=2)  # decided, but not done
    for _ in range(11):
        broken.run(at_most=1)
    assert essence(broken) == essence(whole)

    searcher, running, index = beside.searcher(), {}, 0
    while True:
        order = searcher.suggest(f"t{index}") if len(running) < 3 else None
        if isinstance(order, dict):
            running[f"t{index}"] = order
            index += 1
        elif running:
            name = max(running)
            order = running.pop(name)
            result = beside.train(order, lambda m, name=name: searcher.on_trial_result(name, m))
            searcher.on_trial_complete(name, result)
        else:
            break
    assert essence(beside) == essence(whole)


def test_one_that_fails_leaves_the_population(population: Callable[[str], Any]) -> None:
    sweep = population("sweep")
    searcher = sweep.searcher()
    assert isinstance(searcher.suggest("a"), dict)
    sweep.folder.trial(0).mkdir()
    TrialResult(metrics={}, failure="too large").write(sweep.folder.trial(0))
    searcher.on_trial_complete("a", {})
    sweep.run()
    states = [trial.state for trial in sweep.trials]
    assert states == [TrialState.FAIL, *[TrialState.COMPLETE] * 4]
    assert 0 not in {t.source for found in studies.exploits(sweep.study).values() for t in found}
