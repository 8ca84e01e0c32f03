"""What a run tells while it computes; and that no failure there ends it."""

from __future__ import annotations

import json
import resource
import time
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic, sleep

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks import members
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.monitored import monitored
from metaray.platform.common.errors import NonFiniteError, Stopped
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.run.status import Status


def test_a_run_leaves_its_status_and_event_files(tiny: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "night"
    runner.new(META.load(None, tiny), folder, "local")
    status = Status.read(folder)
    assert status is not None
    assert (status.kind, status.run, status.state) == ("train", "night", "done")
    assert (status.total_steps, status.start_step, status.tested) == (
        6,
        0,
        30,
    )  # trained, untrained, and for calibration
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    rows = MetricsLog.read(folder / "metrics.jsonl")
    losses = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert losses == [(row["step"], pytest.approx(row["loss"])) for row in rows]
    assert [event.step for event in events.Scalars("validation/accuracy")] == [3, 6]


def test_event_files_of_a_resumed_run_have_each_step_once(tiny: list[str], tmp_path: Path) -> None:
    config = META.load(None, [*tiny, "train.outer_steps=4"])
    with monitored(tmp_path, config, CallbackList(), total_steps=4) as callbacks:
        for step in (1, 2, 3):
            callbacks.on_step({"step": step, "loss": float(step)})
    with monitored(tmp_path, config, CallbackList(), total_steps=4, start_step=2) as callbacks:
        for step in (3, 4):
            callbacks.on_step({"step": step, "loss": 10.0 * step})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [e.value for e in events.Scalars("train/loss")] == [1.0, 2.0, 30.0, 40.0]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (NonFiniteError("the gradient is not finite"), "failed"),
        (Stopped("stopped after step 3"), "stopped"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_the_status_says_how_a_run_ended(
    error: BaseException, state: str, tiny: list[str], tmp_path: Path
) -> None:
    def run() -> None:
        with following(tmp_path, tiny) as callbacks:
            callbacks.notify("a worker joined")
            raise error

    with pytest.raises(type(error)):
        run()
    status = Status.read(tmp_path)
    assert status is not None
    assert status.state == state
    assert status.is_over
    assert [event.text for event in status.events] == [
        "a worker joined",
        *filter(None, [str(error)]),
    ]


def following(folder: Path, tiny: list[str]) -> AbstractContextManager[CallbackList]:
    return monitored(folder, META.load(None, tiny), CallbackList(), total_steps=6)


def test_a_callback_that_fails_ends_no_run_and_is_reported_once(
    tiny: list[str], tmp_path: Path
) -> None:
    (tmp_path / "tensorboard").write_text("in the way")
    with following(tmp_path, tiny) as callbacks, callbacks.training():
        callbacks.on_step({"step": 1, "loss": 0.5})
    status = Status.read(tmp_path)
    assert status is not None
    assert status.state == "done"
    assert [event.text.partition(":")[0] for event in status.events] == [
        "the run continues without TensorBoard"
    ]


def test_a_long_step_is_told_of_too(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "HEARTBEAT_S", 0.01)
    with following(tmp_path, tiny):
        first = _wait_for_status(tmp_path, 0.0)
        assert _wait_for_status(tmp_path, first) > first


def _wait_for_status(folder: Path, later_than: float) -> float:
    deadline = monotonic() + 60
    while monotonic() < deadline:
        status = Status.read(folder)
        if status is not None and status.updated > later_than:
            return status.updated
        sleep(0.01)
    raise AssertionError("nothing was written")


def test_a_tracker_that_is_not_installed_is_refused(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metaray.platform.callbacks.trackers.find_spec", lambda name: None)
    config = META.load(None, [*tiny, 'monitoring.trackers=["mlflow"]'])
    with (
        pytest.raises(InputError, match=r"pip install 'metaray\[mlflow\]'"),
        monitored(tmp_path, config, CallbackList(), total_steps=6),
    ):
        raise AssertionError("began")


def test_a_status_of_another_version_is_none(tmp_path: Path) -> None:
    assert Status.read(tmp_path) is None
    (tmp_path / "status.json").write_text(json.dumps({"state": "training"}))
    assert Status.read(tmp_path) is None


def test_a_trial_is_labelled_by_its_sweep(tmp_path: Path) -> None:
    trial = tmp_path / "night" / "trials" / "0003"
    trial.mkdir(parents=True)
    assert Identity.of(trial, "train").labels == {"kind": "train", "run": "0003", "trial": ""}
    (tmp_path / "night" / "sweep.json").write_text("{}")
    assert Identity.of(trial, "train").labels == {"kind": "sweep", "run": "night", "trial": "0003"}
    assert Identity.of(tmp_path / "x", "transfer").kind == "transfer"


def test_a_full_disk_stops_tensorboard_alone(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own writer would block the next one that writes, once its thread has died."""
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr("tensorboardX.record_writer.open_file", lambda path: full)
        with following(tmp_path, tiny) as callbacks, callbacks.training():
            for step in range(1, 1000):
                callbacks.on_step({"step": step, "loss": 0.5, "accuracy": 0.5})
    status = Status.read(tmp_path)
    assert status is not None
    assert status.state == "done"
    assert ["without TensorBoard: OSError: [Errno 28]" in e.text for e in status.events] == [True]


def test_the_status_goes_on_where_a_full_disk_has_room_again(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "HEARTBEAT_S", 0.01)
    with following(tmp_path, tiny) as callbacks:
        _wait_for_status(tmp_path, 0.0)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            time.sleep(0.2)  # some rounds
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        callbacks.notify("there is room again")
    status = Status.read(tmp_path)
    assert status is not None
    assert status.state == "done"
    assert "there is room again" in [event.text for event in status.events]
