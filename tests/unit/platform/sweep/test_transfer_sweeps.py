"""Sweeps of transfer jobs without Ray: what is asked of them, their trials, and the one test."""

from __future__ import annotations

import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from image_files import write_images
from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.config.loading import changed_keys, with_overrides
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.registry import experiment_of
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.run.directory import RunDirectory
from metaray.platform.sweep import study as studies
from metaray.platform.sweep.page import write_sweep_page
from metaray.platform.sweep.plan import SweepPlan, check_space, make_plan, own_values
from metaray.platform.sweep.population import check_population
from metaray.platform.sweep.results import write_results
from metaray.platform.sweep.words import print_result
from metaray.tune_spaces.registry import JOB_SPACES
from metaray.tune_spaces.space import Float, Space

NEEDS = {"dann": ["target.name=glyphs"], "distill": ["job.teacher=runs/teacher"]}
RATES: Space = {"train.lr": Float(1e-3, 0.1, log=True)}


def plan_of(job: str, *sets: str, **options: Any) -> SweepPlan:
    settings = with_overrides({}, [f"job.name={job}", *NEEDS.get(job, []), *sets])
    return make_plan(settings, study_name="sweep", **options)


@pytest.fixture
def sweep(tmp_path: Path, bench_of: Any) -> Any:
    """Three short trials of fine-tuning."""
    sets = [
        *write_images(tmp_path),
        "model.width=4",
        "train.steps=4",
        "train.validate_every=2",
        "train.batch_size=12",
    ]
    return bench_of(plan_of("finetune", *sets, num_trials=3), RATES)


def test_a_section_job_makes_it_a_sweep_of_transfer_jobs() -> None:
    assert experiment_of({"job": {"name": "moco"}}) is TRANSFER
    assert experiment_of({"method": {"name": "anil"}}) is META


@pytest.mark.parametrize("job", JOB_SPACES)
def test_a_trial_of_each_job_can_be_made_from_its_space(job: str) -> None:
    plan = plan_of(job, "train.steps=200")
    plan.experiment.check_trials(plan.base, plan.metrics)
    check_space(JOB_SPACES[job], plan)
    assert own_values(JOB_SPACES[job], plan.base)  # the defaults are the first thing to beat


def test_trials_compute_in_their_process_and_validate_ten_times_unless_it_is_set() -> None:
    plan = plan_of("finetune", "train.steps=200")
    assert (plan.base.workers.count, plan.base.train.validate_every, plan.grace) == (0, 20, 20)
    assert plan_of("finetune", "train.steps=200", "train.validate_every=7").grace == 7


@pytest.mark.parametrize(
    ("job", "sets", "metric", "complaint"),
    [
        ("finetune", ["workers.count=2"], "val_accuracy", "workers.count = 2"),
        ("finetune", ["train.steps=null"], "val_accuracy", "set train.steps"),
        ("finetune", ["train.validate_every=0"], "val_accuracy", "validate_every above 0"),
        ("finetune", ["evaluate.references=['head']"], "val_accuracy", "no part of a sweep"),
        ("finetune", [], "val_mse", "val_mse is not measured in a finetune job"),
        ("finetune", [], "val_accuracy,adapt_s", "adapt_s is not measured"),
        ("simclr", [], "val_loss", "val_loss is not measured in a simclr job"),
    ],
)
def test_what_no_sweep_of_jobs_can_do_is_refused(
    job: str, sets: list[str], metric: str, complaint: str
) -> None:
    plan = plan_of(job, "train.steps=20", *sets, metrics=tuple(metric.split(",")))
    with pytest.raises(InputError, match=complaint):
        plan.experiment.check_trials(plan.base, plan.metrics)


def test_a_population_of_jobs_is_refused() -> None:
    with pytest.raises(InputError, match="those of metaray transfer cannot"):
        check_population(plan_of("finetune", "train.steps=20", scheduler="pbt"), RATES)


def test_trials_see_no_test_image_and_the_best_is_tested_once(sweep: Any) -> None:
    sweep.run()
    runs = [RunDirectory(sweep.folder.trial(trial.number)) for trial in sweep.trials]
    assert [trial.state.name for trial in sweep.trials] == ["COMPLETE"] * 3
    assert all(sorted(trial.intermediate_values) == [2, 4] for trial in sweep.trials)
    assert not any(list(run.evaluations.iterdir()) for run in runs)

    study = studies.load_study(sweep.plan, sweep.folder, None)
    best = studies.best(study)
    assert best is not None
    told = Console(file=StringIO(), width=500)
    test = runner.evaluate(sweep.folder.trial(best.number), [], "local", [Terminal(told)])
    assert test["val_accuracy"] == best.value
    assert {path.stem for path in runs[best.number].evaluations.iterdir()} == {"before", "test"}

    result = write_results(sweep.plan, sweep.folder, study, test)
    write_sweep_page(sweep.folder, result)
    print_result(result, sweep.folder.path, told)
    assert "train it again: metaray transfer finetune" in told.file.getvalue()  # type: ignore
    page = sweep.folder.page.read_text()
    for text in ("Sweep of Fine-tuning", "test images were touched once", "metaray transfer"):
        assert text in page
    assert result.config is not None
    again = TRANSFER.load(sweep.folder.best, ["job.name=finetune"])
    assert changed_keys(again, result.config) == []


def test_a_trial_that_was_stopped_goes_on_to_the_same_parameters(
    sweep: Any, tmp_path: Path
) -> None:
    """And one tested in two parts has the figures of a job that trains and tests at once."""
    from metaray.platform.run.checkpoint import params_sha256

    order = sweep.searcher().suggest("t0")
    assert sweep.train({**order, "until": 2}, lambda metrics: None) is None
    assert sweep.train(order, lambda metrics: None)["step"] == 4
    folder, config = Path(order["folder"]), sweep.plan.config_of(sweep.trials[0].params)
    quiet = Console(file=StringIO())
    shutil.copytree(folder, tmp_path / "resumed")
    test = runner.evaluate(folder, [], "local", [Terminal(quiet)])
    resumed = runner.resume(tmp_path / "resumed", [], "local", [Terminal(quiet)])
    whole = runner.new(config, tmp_path / "whole", "local", [Terminal(quiet)])
    last = runner.load(folder).last
    assert params_sha256(last) == whole["params_sha256"] == test["params_sha256"]
    for key in ("accuracy", "loss", "before", "probes", "tested_step"):
        assert test[key] == whole[key] == resumed[key]
