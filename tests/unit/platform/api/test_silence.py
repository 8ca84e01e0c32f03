"""``progress=False`` prints nothing; ``test_python_sweeps.py`` holds it for what needs Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import metaray as mr

SETTINGS = {
    "evaluate.num_episodes": 4,
    "train.meta_batch_size": 2,
    "task.train_queries": 2,
}


@pytest.fixture
def data(tmp_path: Path) -> Any:
    """A data set that is not prepared yet."""
    return mr.datasets.Glyphs(num_classes=60, image_size=16, cache=tmp_path / "cache")


def train(data: Any, folder: Path, progress: bool) -> mr.Run:
    trainer = mr.Trainer(
        mr.MAML(mr.models.Conv4(width=4)),
        data,
        ways=3,
        queries=2,
        settings=SETTINGS,
        progress=progress,
    )
    return trainer.fit(outer_steps=2, validate_every=0, out=folder / "run")


def test_a_training_and_a_test(
    data: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train(data, tmp_path, progress=False)
    run.evaluate(episodes=2, progress=False)
    run.resume(progress=False)
    assert capfd.readouterr() == ("", "")


def test_a_transfer_job(data: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mr.transfer(
        mr.jobs.Finetune(),
        data,
        model=mr.models.Conv4(width=4),
        steps=2,
        batch_size=8,
        out=tmp_path / "job",
        progress=False,
    )
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_on_stderr(
    data: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(data, tmp_path, progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "preparing glyphs: 60 of 60 classes" in shown.err
    assert "step 2/2" in shown.err
