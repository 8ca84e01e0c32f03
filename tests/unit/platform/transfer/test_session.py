"""Whole jobs in this process: what they leave, how they are resumed, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from metaray.algorithms.algorithm import State
from metaray.algorithms.errors import InputError
from metaray.algorithms.intervals import wilson_interval
from metaray.algorithms.transfer.examples import Part
from metaray.platform.callbacks.base import Callback, RunInfo
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.common.errors import Stopped
from metaray.platform.experiment import runner, transfer_session
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.experiment.transfer_data import open_domains
from metaray.platform.experiment.transfer_session import TransferSession
from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.run.metrics_log import MetricsRow
from metaray.platform.training.transfer.initialization import buffers_of
from metaray.platform.training.transfer.metrics import accuracy_metrics

QUIET = [Terminal(Console(quiet=True))]
OTHER = "job.target_classes=other"
SUPERVISED = "evaluate.references=['target_supervised']"


class StopAtThree(Callback):
    """Requests a stop at a step."""

    def on_start(self, info: RunInfo) -> None:
        self.stop = info.stop

    def on_step(self, row: MetricsRow) -> None:
        if row["step"] == 3:
            self.stop.request()


@pytest.mark.drawn
def test_a_job_leaves_a_run_directory_with_references(squares: list[str], tmp_path: Path) -> None:
    sets = ['evaluate.references=["head", "scratch"]', "job.strategy=discriminative"]
    summary = runner.new(TRANSFER.load(None, [*squares, *sets]), tmp_path / "run", "local", QUIET)
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert 0 <= summary["interval"][0] <= summary["accuracy"] <= summary["interval"][1] <= 1
    assert summary["num_examples"] == 30
    assert summary["references"].keys() == {"head", "scratch"}
    for name in ("head", "scratch"):
        own = json.loads((tmp_path / "run" / "references" / name / "summary.json").read_text())
        assert summary["references"][name]["accuracy"] == own["accuracy"]
        assert own["steps"] == summary["steps"]
    page = (tmp_path / "run" / "report.html").read_text()
    for text in ("Fine-tuning on own arrays", "scratch", "metaray transfer finetune", "Confusion"):
        assert text in page
    pngs = {path.name for path in (tmp_path / "run" / "plots").iterdir()}
    assert pngs == {"loss.png", "accuracy.png", "learning_rate.png", "confusion.png"}


def test_a_stopped_job_goes_on_as_if_it_had_not_been(squares: list[str], tmp_path: Path) -> None:
    config = TRANSFER.load(None, squares)
    with pytest.raises(Stopped, match="--resume"):
        runner.new(config, tmp_path / "run", "local", [StopAtThree()])
    resumed = runner.resume(tmp_path / "run", ["train.keep_checkpoints=1"], "local", QUIET)
    whole = runner.new(config, tmp_path / "whole", "local", QUIET)
    assert resumed["params_sha256"] == whole["params_sha256"]
    again = runner.resume(tmp_path / "run", [], "local", QUIET)
    assert again["accuracy"] == whole["accuracy"]


def test_what_shaped_the_weights_cannot_change_on_resume(
    squares: list[str], tmp_path: Path
) -> None:
    runner.new(TRANSFER.load(None, squares), tmp_path / "run", "local", QUIET)
    with pytest.raises(InputError, match="train.lr cannot be changed"):
        runner.resume(tmp_path / "run", ["train.lr=1"], "local", QUIET)
    with np.load(Path(squares[1].partition("=")[2]) / "test.npz") as arrays:
        other = {"images": 255 - arrays["images"], "labels": arrays["labels"]}
    (tmp_path / "other").mkdir()
    for part in ("train", "test"):
        np.savez(tmp_path / "other" / f"{part}.npz", **other)
    with pytest.raises(InputError, match="is not the one that"):
        runner.resume(tmp_path / "run", [f"data.root={tmp_path / 'other'}"], "local", QUIET)


@pytest.mark.drawn
def test_self_supervision_is_tested_by_probes(squares: list[str], tmp_path: Path) -> None:
    sets = ["job.name=simclr", 'evaluate.references=["supervised"]', "train.steps=4"]
    summary = runner.new(TRANSFER.load(None, [*squares, *sets]), tmp_path / "run", "local", QUIET)
    assert summary["probes"].keys() == {"nearest_centroid", "knn_probe", "linear_probe"}
    assert summary["accuracy"] == summary["probes"]["linear_probe"]["accuracy"]
    assert summary["before"]["num_examples"] == summary["num_examples"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "linear classifier on the features before training" in page
    assert "linear classifier on the features after training" not in page  # it is the result
    pngs = {path.name for path in (tmp_path / "run" / "plots").iterdir()}
    assert pngs == {"loss.png", "matched.png", "learning_rate.png"}  # of one validation no course


def test_validations_and_the_start_are_probes_of_the_encoder(
    squares: list[str], tmp_path: Path
) -> None:
    """Both metrics again, by scikit-learn, on features that the checkpoints hold."""
    sets = ["job.name=moco", "job.queue_size=16", "train.validate_every=2", "train.steps=2"]
    config = TRANSFER.load(None, [*squares, *sets])
    summary = runner.new(config, tmp_path / "run", "local", QUIET)
    job, first = runner.load(tmp_path / "run"), TRANSFER.prepare(config, "local").first
    assert isinstance(job, TransferSession)
    assert first is not None

    def score(model: Any, checkpoint: Checkpoint, asked: Part) -> float:
        def features(part: Part) -> tuple[np.ndarray, np.ndarray]:
            examples, flat = job.blueprint.domains.source, checkpoint.tensors["params"]
            state = State(job.plan.param_layout.unflatten(flat), buffers_of(checkpoint))
            x = examples.images(part, np.arange(examples.count(part))).double()
            return job.blueprint.objective.features(state, x).numpy(), examples.labels(part)

        return float(model.fit(*features("train")).score(*features(asked)))

    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    assert summary["before"]["accuracy"] == score(linear, first, "test")
    assert summary["accuracy"] == score(linear, job.last, "test")
    nearest = KNeighborsClassifier(54, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.07))
    assert summary["val_accuracy"] == score(nearest, job.last, "val")


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (["train.batch_size=8", "train.shard_size=1"], "batch norm needs two images"),
        (["job.name=dann"], "needs a second domain"),
        (["job.name=distill"], "needs a teacher"),
        (["target.name=glyphs", "target.num_classes=3"], "must have the same classes"),
        (
            ["target.name=arrays", "target.root={one}", "target.division=published"],
            "set target.division = random",
        ),
        (["target.name=glyphs", "target.division=published"], "target: glyphs has no published"),
        (
            ["job.name=dann", "target.name=arrays", "target.root={same}", OTHER],
            "3 classes in common",
        ),
        (
            ["job.name=dann", "target.name=glyphs", OTHER, SUPERVISED],
            "needs a target with the classes of the source",
        ),
        (["workers.device=cuda"], "finds no CUDA device"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    squares: list[str], tmp_path: Path, sets: list[str], sentence: str
) -> None:
    same = squares[1].partition("=")[2]
    places = {"{same}": same, "{one}": f"{same}/train.npz"}
    for name, path in places.items():
        sets = [item.replace(name, path) for item in sets]
    with pytest.raises(InputError, match=sentence):
        runner.new(TRANSFER.load(None, [*squares, *sets]), tmp_path / "run", "local", QUIET)
    assert not (tmp_path / "run").exists()


def test_features_adapt_to_classes_that_the_source_does_not_have(
    squares: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the target nothing is read but images of its training classes, and the test says so."""
    target = ["target.name=glyphs", "target.num_classes=12", "target.split=random"]
    config = TRANSFER.load(None, [*squares, "job.name=dann", OTHER, *target])
    domains = open_domains(config)
    assert domains.target is not None
    monkeypatch.setattr(domains.target, "labels", lambda part: pytest.fail("labels were read"))
    monkeypatch.setattr(transfer_session, "open_fitted", lambda *_: (domains, config, ""))
    summary = runner.new(config, tmp_path / "run", "local", QUIET)
    assert (summary["num_examples"], summary["num_classes"]) == (30, 3)
    assert summary["tests_target"] is False
    page = (tmp_path / "run" / "report.html").read_text()
    assert "adapted to drawn glyphs" in page
    assert "no label of the target was used at all" in page
    sets = ["method.name=protonet", "data.num_classes=12", "data.split=random", "task.ways=2"]
    start = [f"init.checkpoint={tmp_path / 'run'}", "train.outer_steps=0", "workers.count=0"]
    few_shot = runner.new(
        META.load(None, [*sets, *start, "task.queries=2", "evaluate.num_episodes=4"]),
        tmp_path / "few_shot", "local", QUIET,
    )  # fmt: skip
    assert few_shot["init"]["trained_by"] == "dann"


def test_wilson_interval() -> None:
    """The textbook case of no success among ten, and symmetry."""
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    low, high = wilson_interval(30, 100)
    assert wilson_interval(70, 100) == pytest.approx((1 - high, 1 - low))
    found = accuracy_metrics(np.array([0, 1, 1]), np.array([0, 1, 0]))
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_the_command_shows_the_result(
    squares: list[str], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    from metaray.platform.cli.main import app

    words = [part for item in squares for part in ("--set", item)]
    run: Callable[..., Any] = app
    with pytest.raises(SystemExit) as ended:
        run(["transfer", "finetune", *words, "--out", str(tmp_path / "run")])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "Fine-tuning on own arrays: accuracy" in shown
    assert str(tmp_path / "run" / "report.html") in shown
