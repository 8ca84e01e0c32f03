"""Comparisons as Python objects. The Ray that ``mr.compare`` starts is left out here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import metaray as mr
from metaray.platform.callbacks.base import RunInfo
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.events import Event
from metaray.platform.compare import compare as story
from metaray.platform.compare import runner
from metaray.platform.compare.directory import RunFolder
from metaray.platform.compare.events import RunUpdated
from metaray.platform.compare.one_run import perform
from metaray.platform.compare.plan import Plan
from metaray.platform.compare.status import RunProgress
from metaray.platform.distributed import resources


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs go one after another here, and there is no Ray."""

    @contextmanager
    def nothing(*_: Any) -> Iterator[None]:
        yield

    def run_all(
        plan: Plan, folders: Iterable[RunFolder], parallel: int | None, callbacks: CallbackList
    ) -> bool:
        entries = {entry.name: entry for entry in plan.entries}
        for folder in folders:
            if callbacks.stop.requested():
                return False
            config = entries[folder.entry].config_of(folder.seed)
            perform(config, folder, plan.curves, "local", CallbackList())
            callbacks.on_event(RunUpdated(run=folder, progress=RunProgress(state="done")))
        return True

    monkeypatch.setattr(story, "connected", nothing)
    monkeypatch.setattr(resources, "cluster_nodes", lambda: [{"CPU": 2.0}])
    monkeypatch.setattr(runner, "run_all", run_all)


@pytest.fixture
def compare(cache: Path) -> Callable[..., mr.Comparison]:
    """``mr.compare`` of two small methods, in seconds."""

    def called(out: Path, **options: Any) -> mr.Comparison:
        network = mr.models.Conv4(width=4)
        return mr.compare(
            {"maml": mr.MAML(network, eval_inner_steps=1), "protonet": mr.ProtoNet(network)},
            mr.datasets.Glyphs(num_classes=100, image_size=16, cache=cache),
            **{"steps": 2, "seeds": 1, "queries": 2, "out": out, "progress": False} | options,
            curve_shots=[1],
            curve_ways=[5],
            curve_episodes=4,
            settings={
                "evaluate.num_episodes": 4,
                "data.rotations": "none",
                "train.validate_every": 0,
                "train.meta_batch_size": 2,
            },
        )

    return called


class StopAfterOne(mr.Callback):
    """Stops a comparison when its first run has a result."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_start(self, info: RunInfo) -> None:
        self.heard.append(info.identity.kind)
        self.stop = info.stop

    def on_event(self, event: Event) -> None:
        if isinstance(event, RunUpdated):
            self.heard.append(f"{event.run.entry} {event.progress.state}")
            self.stop.request("one is enough")

    def on_end(self, state: str, error: BaseException | None) -> None:
        self.heard.append(state)


def test_its_results_are_those_of_its_folder(
    compare: Callable[..., mr.Comparison], tmp_path: Path
) -> None:
    made = compare(tmp_path / "out", reference="maml")
    loaded = mr.load(tmp_path / "out")
    assert isinstance(loaded, mr.Comparison)
    assert loaded.summary == made.summary
    assert set(loaded.table.index) == {"maml", "protonet"}
    assert loaded.best == loaded.table.index[0]
    assert loaded.table.loc["protonet", "difference"] == pytest.approx(
        loaded.table.loc["protonet", "accuracy"] - loaded.table.loc["maml", "accuracy"]
    )
    assert len(loaded.episodes) == 2 * 4
    assert loaded.run("maml", seed=0).accuracy == loaded.table.loc["maml", "accuracy"]
    with pytest.raises(mr.InputError, match="no result of maml with seed 7"):
        loaded.run("maml", seed=7)
    assert "maml" in loaded._repr_html_()


def test_a_callback_stops_a_comparison_that_resume_continues(
    compare: Callable[..., mr.Comparison], tmp_path: Path
) -> None:
    callback = StopAfterOne()
    with pytest.raises(mr.Stopped):
        compare(tmp_path / "out", callbacks=[callback])
    assert callback.heard == ["compare", "maml done", "stopped"]
    loaded = mr.load(tmp_path / "out")
    assert "not ended yet" in repr(loaded) + loaded._repr_html_()
    with pytest.raises(mr.InputError, match=r"has no result yet: .*\.resume\(\)"):
        _ = loaded.summary
    kept = (tmp_path / "out" / "runs" / "maml" / "seed0" / "measures.json").stat().st_mtime_ns
    again = StopAfterOne()
    assert loaded.resume(callbacks=[again], progress=False) is loaded
    assert again.heard == ["compare", "protonet done", "done"]
    assert {entry["entry"] for entry in loaded.summary["entries"]} == {"maml", "protonet"}
    measures = tmp_path / "out" / "runs" / "maml" / "seed0" / "measures.json"
    assert measures.stat().st_mtime_ns == kept
    assert loaded.resume(progress=False).best == loaded.best  # nothing is left to do


def test_transfer_jobs_are_refused() -> None:
    jobs: list[Any] = [mr.MAML(), mr.jobs.Finetune(strategy="head")]
    with pytest.raises(mr.InputError, match=r"and got transfer jobs \(finetune\)"):
        mr.compare(jobs, steps=2)
    with pytest.raises(mr.InputError, match="have the sections method and job"):
        mr.compare([mr.MAML()], settings={"job.name": "finetune"}, steps=2)


def test_a_budget_is_needed() -> None:
    with pytest.raises(mr.InputError, match="needs one budget for all, got none"):
        mr.compare([mr.MAML()])


def test_progress_goes_to_stderr(
    compare: Callable[..., mr.Comparison], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(tmp_path / "out", progress=True)
    output = capsys.readouterr()
    assert output.out == ""
    assert "0 of 2 runs done" in output.err
    assert "protonet, seed 0: done" in output.err
