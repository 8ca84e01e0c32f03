"""A run as a Python object."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import metaray as mr
from metaray.platform.callbacks.base import RunInfo


@pytest.fixture(scope="module")
def trainer(cache: Path) -> mr.Trainer:
    return mr.Trainer(
        mr.ProtoNet(mr.models.Conv4(width=4)),
        mr.datasets.Glyphs(num_classes=100, image_size=16, cache=cache),
        ways=3,
        queries=2,
        settings={"evaluate.num_episodes": 6, "train.validate_episodes": 4, "task.train_ways": 3},
        progress=False,
    )


@pytest.fixture(scope="module")
def run(trainer: mr.Trainer, tmp_path_factory: pytest.TempPathFactory) -> mr.Run:
    return trainer.fit(
        out=tmp_path_factory.mktemp("runs") / "one",
        outer_steps=4,
        meta_batch_size=2,
        validate_every=2,
    )


def test_it_has_the_summary_of_its_folder(run: mr.Run) -> None:
    summary = json.loads((run.folder / "summary.json").read_text())
    assert run.summary == summary
    assert (run.accuracy, run.ci95) == (summary["accuracy"], summary["ci95"])


def test_history_has_a_row_for_each_step(run: mr.Run) -> None:
    assert list(run.history.index) == [1, 2, 3, 4]
    assert run.history["loss"].notna().all()
    assert list(run.history["val_accuracy"].notna()) == [False, True, False, True]


def test_episodes_has_a_row_for_each_test_episode(run: mr.Run) -> None:
    assert len(run.episodes) == run.summary["num_episodes"]
    assert run.episodes["accuracy"].mean() == pytest.approx(run.accuracy)


@pytest.mark.drawn
def test_plot_has_the_curves_of_loss_and_accuracy(run: mr.Run) -> None:
    labels = [axes.get_ylabel() for axes in run.plot().axes]
    assert labels == ["loss", "accuracy"]


def test_a_notebook_shows_the_result(run: mr.Run) -> None:
    html = run._repr_html_()
    assert "Prototypical networks" in html or "protonet" in html.lower()
    assert f"{100 * run.accuracy:.2f} %" in html
    assert run.place in html


def test_load_opens_it(run: mr.Run) -> None:
    loaded = mr.load(run.place)
    assert loaded.summary == run.summary
    assert loaded.config == run.config


def test_load_opens_what_lies_there(tmp_path: Path) -> None:
    for kind, marker in ((mr.Sweep, "sweep.json"), (mr.Comparison, "compare.json")):
        folder = tmp_path / marker
        folder.mkdir()
        (folder / marker).write_text("{}")
        assert type(mr.load(folder)) is kind


def test_load_refuses_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(mr.InputError, match="is not a run directory"):
        mr.load(tmp_path)


def test_evaluate_returns_the_new_test(run: mr.Run) -> None:
    result = run.evaluate(episodes=8, shots=2, progress=False)
    assert len(result.episodes) == 8
    assert result.summary["shots"] == 2
    assert result.accuracy == run.accuracy
    assert f"{100 * result.accuracy:.2f} %" in result._repr_html_()


def test_evaluate_refuses_what_shaped_the_parameters(run: mr.Run) -> None:
    with pytest.raises(mr.InputError, match=r"model\.width cannot be changed"):
        run.evaluate(settings={"model.width": 8}, progress=False)


def test_a_regression_has_no_accuracy(cache: Path, tmp_path: Path) -> None:
    trainer = mr.Trainer(
        mr.MAML(mr.models.MLP(width=8)),
        mr.datasets.Sinusoid(),
        settings={"evaluate.num_episodes": 4},
        progress=False,
    )
    run = trainer.fit(out=tmp_path / "run", outer_steps=1, validate_every=0, meta_batch_size=2)
    assert run.mse == run.summary["mse"]
    with pytest.raises(mr.InputError, match=r"no accuracy: use \.mse"):
        _ = run.accuracy


def test_a_second_run_in_the_same_folder_is_refused(trainer: mr.Trainer, run: mr.Run) -> None:
    with pytest.raises(mr.InputError, match="already holds a run"):
        trainer.fit(out=run.place, outer_steps=1)


@pytest.fixture
def threads() -> Iterator[int]:
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(1)


def test_torch_is_left_as_it_was(run: mr.Run, threads: int) -> None:
    before = torch.backends.cudnn.deterministic
    run.evaluate(episodes=2, progress=False)
    assert torch.get_num_threads() == threads
    assert torch.backends.cudnn.deterministic == before


def test_it_trains_in_another_thread(trainer: mr.Trainer, tmp_path: Path) -> None:
    """Only the main thread may handle signals."""
    found: list[Any] = []

    def fit() -> None:
        found.append(trainer.fit(out=tmp_path / "run", outer_steps=1, validate_every=0))

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert len(found) == 1


class StopAtTwo(mr.Callback):
    def on_start(self, info: RunInfo) -> None:
        self.stop = info.stop

    def on_step(self, row: Mapping[str, Any]) -> None:
        if row["step"] == 2:
            self.stop.request("enough")


def test_a_callback_can_stop_a_run_that_resume_continues(cache: Path, tmp_path: Path) -> None:
    trainer = mr.Trainer(
        mr.ProtoNet(mr.models.Conv4(width=4)),
        mr.datasets.Glyphs(num_classes=100, image_size=16, cache=cache),
        ways=3,
        queries=2,
        settings={"evaluate.num_episodes": 2},
        callbacks=[StopAtTwo()],
        progress=False,
    )
    with pytest.raises(mr.Stopped):
        trainer.fit(out=tmp_path / "run", outer_steps=3, validate_every=0, meta_batch_size=1)
    run = mr.load(tmp_path / "run")
    assert len(run.history) == 2
    assert "not tested yet" in repr(run)
    assert run.resume(progress=False).summary["outer_steps"] == 3


def test_progress_goes_to_stderr(run: mr.Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.evaluate(episodes=2)
    output = capsys.readouterr()
    assert output.out == ""
    assert "meta-test" in output.err


def test_no_progress_is_silent(run: mr.Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.evaluate(episodes=2, progress=False)
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "")
