"""Callbacks of a run: none can end it, none can hold it up, and anyone can ask it to stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from metaray.platform.callbacks import members
from metaray.platform.callbacks.base import BackgroundCallback, Callback, EndState, RunInfo
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.events import Event
from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.stopping import StopToken
from metaray.platform.common.errors import Stopped
from metaray.platform.run.metrics_log import MetricsRow


class Recording(Callback):
    """Notes its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_start(self, info: RunInfo) -> None:
        self.calls.append(f"start {info.start_step}/{info.total_steps}")

    def on_step(self, row: MetricsRow) -> None:
        self.calls.append(f"step {row['step']}")

    def on_validation(self, row: MetricsRow) -> None:
        self.calls.append(f"validation {row['step']}")

    def on_event(self, event: Event) -> None:
        if event.text:
            self.calls.append(event.text)

    def on_end(self, state: EndState, error: BaseException | None) -> None:
        self.calls.append(f"{state} {error}")


class Slow(Recording, BackgroundCallback):
    """The same from a thread."""


class Broken(Callback):
    def on_step(self, row: MetricsRow) -> None:
        raise ValueError("no connection")


class Stuck(BackgroundCallback):
    def __init__(self) -> None:
        self.release = threading.Event()

    def on_step(self, row: MetricsRow) -> None:
        self.release.wait()


def info_of(callbacks: CallbackList) -> RunInfo:
    return RunInfo(
        folder=Path("runs/one"),
        identity=Identity(kind="train", run="one"),
        config={},
        total_steps=2,
        stop=callbacks.stop,
    )


def run(callbacks: CallbackList) -> None:
    with callbacks.running(info_of(callbacks)), callbacks.training(), callbacks.attach():
        callbacks.on_step({"step": 1, "loss": 2.0})
        callbacks.on_step({"step": 2, "loss": 1.0, "val_loss": 1.5})


@pytest.mark.parametrize("kind", [Recording, Slow])
def test_a_callback_sees_everything_in_order(kind: type[Recording]) -> None:
    callback = kind()
    run(CallbackList([callback]))
    assert callback.calls == ["start 0/2", "step 1", "step 2", "validation 2", "done None"]


def test_a_failure_is_reported_once_and_stops_no_other() -> None:
    callback = Recording()
    run(CallbackList([Broken(), callback]))
    report = callback.calls.pop(2)
    assert report.startswith("the run continues without Broken: ValueError: no connection (test_")
    assert callback.calls == ["start 0/2", "step 1", "step 2", "validation 2", "done None"]


def test_a_callback_cannot_change_what_others_see() -> None:
    class Changing(Callback):
        def on_step(self, row: MetricsRow) -> None:
            assert isinstance(row, dict)
            row.clear()

    callback = Recording()
    run(CallbackList([Changing(), callback]))
    assert "validation 2" in callback.calls


def test_a_stuck_callback_does_not_hold_up_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "FINISH_S", 0.3)
    stuck, callback = Stuck(), Recording()
    run(CallbackList([stuck, callback]))
    assert callback.calls[-1] == "done None" or "without Stuck" in callback.calls[-1]
    assert "the run continues without Stuck: it did not return within 0.3 s" in callback.calls
    stuck.release.set()


class StuckInTraining(Callback):
    def __init__(self) -> None:
        self.called, self.release = threading.Event(), threading.Event()

    def on_step(self, row: MetricsRow) -> None:
        self.called.set()
        self.release.wait()


def test_a_stuck_callback_without_a_thread_does_not_hold_up_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "CALL_S", 0.3)
    stuck, callback = StuckInTraining(), Recording()
    run(CallbackList([stuck, callback]))
    reports = [call for call in callback.calls if "without StuckInTraining" in call]
    assert len(reports) == 1
    assert "on_step did not return within 0.3 s" in reports[0]
    assert callback.calls[-1] == "done None"
    stuck.release.set()


def test_ctrl_c_ends_the_wait_for_a_stuck_callback() -> None:
    stuck = StuckInTraining()
    callbacks = CallbackList([stuck])

    def interrupt() -> None:
        stuck.called.wait()
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), callbacks.running(info_of(callbacks)):
        callbacks.on_step({"step": 1})
    assert time.monotonic() - began < 10
    stuck.release.set()


class Leaving(Callback):
    def on_step(self, row: MetricsRow) -> None:
        sys.exit(3)


class LeavingSlowly(Leaving, BackgroundCallback):
    """The same from a thread."""


@pytest.mark.parametrize("kind", [Leaving, LeavingSlowly])
def test_a_callback_whose_thread_ends_is_reported(kind: type[Callback]) -> None:
    callback = Recording()
    began = time.monotonic()
    run(CallbackList([kind(), callback]))
    reports = [call for call in callback.calls if f"without {kind.__name__}: SystemExit" in call]
    assert len(reports) == 1
    assert callback.calls[-1] == "done None"
    assert time.monotonic() - began < 10  # it is not waited for


def test_calls_that_wait_for_a_stuck_callback_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_MOST_WAITING", 10)
    stuck, callback = Stuck(), Recording()
    callbacks = CallbackList([stuck, callback])
    for step in range(30):
        callbacks.on_step({"step": step})
    assert [call for call in callback.calls if "without Stuck: it is stuck" in call]
    stuck.release.set()


def test_the_end_says_what_ended_the_run() -> None:
    callback = Recording()
    callbacks = CallbackList([callback])
    with pytest.raises(KeyError), callbacks.running(info_of(callbacks)):
        raise KeyError("x")
    with pytest.raises(Stopped), callbacks.running(info_of(callbacks)):
        raise Stopped("at step 3")
    assert [call for call in callback.calls if "/" not in call] == [
        "failed 'x'",
        "stopped at step 3",
    ]


def test_a_stop_can_be_requested_by_a_signal_a_condition_or_anyone() -> None:
    by_signal, by_condition, by_anyone = StopToken(), StopToken(), StopToken()
    with by_signal.on_signals():
        assert not by_signal.requested()
        signal.raise_signal(signal.SIGTERM)
        assert by_signal.requested()
    assert by_signal.requested()
    by_condition.add_condition(lambda: True)
    assert by_condition.requested()
    by_anyone.request("first")
    by_anyone.request("second")
    assert (by_anyone.requested(), by_anyone.reason) == (True, "first")


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    def check() -> None:
        with StopToken().on_signals():
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers = [signal.getsignal(signal.SIGINT)]
    thread = threading.Thread(target=check)
    thread.start()
    thread.join()
    assert handlers[0] == handlers[1]


def test_a_request_ends_a_test_at_once() -> None:
    callbacks = CallbackList()
    with callbacks.evaluating(10) as advance:
        advance(5)
        callbacks.stop.request()
        with pytest.raises(Stopped):
            advance(5)
