"""The interface of everything that follows a run: subclass ``Callback`` to add your own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from metaray.platform.callbacks.events import Event
from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.stopping import StopToken
from metaray.platform.run.metrics_log import MetricsRow

EndState = Literal["done", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What is known when a run starts."""

    folder: Path
    """the run directory"""
    identity: Identity
    """kind, name and, in a sweep, trial number of the run"""
    config: Mapping[str, Any]
    """all settings, as nested tables; of a sweep, those that its trials share; of a comparison,
    those of its first entry"""
    total_steps: int
    """of a sweep or a comparison, the steps of one of its runs"""
    start_step: int = 0
    """steps that earlier starts of this run have done"""
    time_left_s: float | None = None
    """seconds that a time budget leaves for training; None without a budget"""
    stop: StopToken = field(default_factory=StopToken)
    """``info.stop.request("why")`` stops the run after its current step, with a checkpoint"""


class Callback:
    """Follows a run. Override the methods that you need: none of them does anything by itself.

    A callback cannot change what a run computes. If it raises an exception, or does not return
    within five minutes, this is reported once, the callback is not called again, and the run
    continues. Methods are called one after another, and the run waits for each, so they should
    return quickly: subclass ``BackgroundCallback`` for slow work.

    Pass callbacks from Python, or name the class in the settings:
    ``--set 'monitoring.callbacks=["my_callbacks.py:StopWhenGood"]'``. It is created without
    arguments.

    >>> class StopWhenGood(Callback):
    ...     def on_start(self, info):
    ...         self.stop = info.stop
    ...
    ...     def on_validation(self, row):
    ...         if row["val_accuracy"] > 0.9:
    ...             self.stop.request(f"accurate enough at step {row['step']}")
    >>> from metaray.platform.callbacks.callback_list import CallbackList
    >>> from metaray.platform.callbacks.identity import Identity
    >>> callbacks = CallbackList([StopWhenGood()])
    >>> info = RunInfo(
    ...     folder=Path("runs/one"),
    ...     identity=Identity(kind="train", run="one"),
    ...     config={},
    ...     total_steps=10,
    ...     stop=callbacks.stop,
    ... )
    >>> with callbacks.running(info):
    ...     callbacks.on_step({"step": 1, "loss": 0.3, "val_accuracy": 0.93})
    >>> callbacks.stop.reason
    'accurate enough at step 1'
    """

    follows_nested_runs = False
    """whether it also follows the runs that a run makes for comparison (references)"""

    in_training_thread = False
    """whether it is called in the thread that trains, which then waits for it without a limit"""

    def on_start(self, info: RunInfo) -> None:
        """The run starts, or continues from a checkpoint.

        Args:
            info: the run directory, the settings, and how many steps there will be.
        """

    def on_step(self, row: MetricsRow) -> None:
        """A training step is done.

        Args:
            row: its metrics, with the keys of ``metrics.jsonl``: ``step`` (from 1), ``loss``, ...
        """

    def on_validation(self, row: MetricsRow) -> None:
        """A training step with a validation is done. ``on_step`` has been called before.

        Args:
            row: as of ``on_step``; the keys of the validation begin with ``val_``.
        """

    def on_event(self, event: Event) -> None:
        """Something else happened.

        Args:
            event: one of the classes of ``metaray.platform.callbacks.events``, in a sweep also of
                ``metaray.platform.sweep.events``, in a comparison of
                ``metaray.platform.compare.events``. ``event.text`` is a sentence, or empty.
        """

    def on_end(self, state: EndState, error: BaseException | None) -> None:
        """The run is over: nothing is called after this.

        Args:
            state: ``done``, ``stopped`` (it can be resumed) or ``failed``.
            error: what ended a run that is not done.
        """


class BackgroundCallback(Callback):
    """A callback with its own thread, so that the run never waits for it.

    Its methods are called in that thread about every two seconds, in order, with everything that
    happened meanwhile. At the end of the run it has half a minute to finish.
    """

    uses_workers = False
    """whether the run waits for it, too, before workers and the connection to Ray are released"""

    def flush(self) -> None:
        """Called after each of these rounds, even if nothing happened."""
