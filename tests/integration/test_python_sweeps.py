"""Sweeps and comparisons from Python: opened, resumed, silent, and of transfer jobs.

They use the Ray that is there; ``test_python_api.py`` looks at what a start of it prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_ray import RAY

import metaray as mr
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.pool import LocalPool

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


@pytest.fixture
def data(tmp_path: Path) -> Any:
    """A data set that is not prepared yet."""
    return mr.datasets.Glyphs(num_classes=60, image_size=16, cache=tmp_path / "cache")


def test_a_sweep_of_a_transfer_job_is_opened_and_resumed_in_silence(
    data: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    RAY.begin()
    capfd.readouterr()
    found = mr.sweep(
        mr.jobs.Finetune(),
        data,
        model=mr.models.Conv4(width=4),
        space={"train.lr": mr.Float(0.01, 0.1), "job.strategy": mr.Choice(("full", "head"))},
        num_trials=1,
        parallel=1,
        settings={"train.steps": 4, "train.validate_every": 2, "train.batch_size": 8},
        out=tmp_path / "sweep",
        progress=False,
    )
    assert list(found.trials["state"]) == ["complete"]
    assert found.best_run.config.train.steps == 4

    opened = mr.Sweep(tmp_path / "sweep")
    assert opened.accuracy == found.accuracy
    assert opened.resume(num_trials=2, parallel=1, progress=False) is opened
    assert list(opened.trials.index) == [0, 1]
    assert set(opened.best_settings) == {"train.lr", "job.strategy"}
    assert 0 <= opened.accuracy <= 1
    assert capfd.readouterr() == ("", "")


def test_a_sweep_of_a_method_without_training_validates_each_trial_once(tmp_path: Path) -> None:
    """The validation is that of a training with such a network, before its first step."""
    RAY.begin()
    rng, y = np.random.default_rng(0), np.repeat(np.arange(30), 12)
    x = rng.normal(size=(30, 5))[y] + rng.normal(size=(len(y), 5))
    np.savez(tmp_path / "vectors.npz", x=x.astype(np.float32), y=y)
    settings = {"evaluate.num_episodes": 5, "train.validate_episodes": 20, "workers.count": 0,
                "data.cache": str(tmp_path / "cache"), "task.queries": 4}  # fmt: skip
    found = mr.sweep(
        mr.LogisticRegression(), mr.datasets.Features(tmp_path / "vectors.npz"), num_trials=3,
        parallel=2, ways=4, settings=settings, out=tmp_path / "sweep", progress=False,
    )  # fmt: skip
    trials = found.trials
    assert list(trials["state"]) == ["complete"] * 3
    assert (trials["step"] == 0).all()
    best = found.best_run
    assert best.config.train.outer_steps == 0
    blueprint = Blueprint.open(best.config)
    again = evaluate(LocalPool(blueprint), blueprint, "val", 20).headline()["accuracy"]
    assert trials["val_accuracy"].max() == again
    assert set(found.best_settings) == {"method.penalty", "method.normalise"}


def test_a_comparison_is_silent(
    data: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    RAY.begin()
    capfd.readouterr()
    result = mr.compare(
        [mr.MAML(mr.models.Conv4(width=4))],
        data,
        steps=2,
        seeds=1,
        ways=3,
        queries=2,
        curve_episodes=2,
        settings={"evaluate.num_episodes": 2, "train.meta_batch_size": 2, "task.train_queries": 2},
        out=tmp_path / "compared",
        progress=False,
    )
    assert result.best == "maml"
    assert capfd.readouterr() == ("", "")
