"""One run in this process: what the runner needs of it, for any kind of experiment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsRow
from metaray.platform.run.provenance import DataRecord

Summary = dict[str, Any]
"""the content of ``summary.json``"""


class Executor(Protocol):
    """Computes a run: in this process, or with workers of Ray."""

    def train(self) -> bool:
        """Train from the newest checkpoint to the end; whether it was asked to stop before."""

    def evaluate(self) -> Any:
        """Test the parameters that the run chooses; what ``Session.conclude`` needs of it."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A run to compare with. It has the same budget and a separate folder."""

    config: ExperimentConfig
    training: str
    """how it was trained, in words"""


@dataclass(frozen=True, kw_only=True)
class Session(ABC):
    """One run: its folder, settings, data and network."""

    run: RunDirectory
    config: Any
    """of the experiment's config class"""
    address: str
    """of the Ray cluster: local, current, or a URL"""
    callbacks: CallbackList
    """follow the run, and can stop it"""

    @property
    @abstractmethod
    def checkpoints(self) -> CheckpointStore:
        """The run's checkpoints."""

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """The length of the training in steps."""

    @property
    def time_left_s(self) -> float | None:
        """Seconds until the time budget is over; None without one."""
        return None

    @abstractmethod
    def executor(self, tests: bool = True) -> AbstractContextManager[Executor]:
        """What computes the run, for the time of the block.

        Args:
            tests: whether the run is tested after its training. Without, no test example is read.
        """

    @abstractmethod
    def conclude(self, result: Any, references: Mapping[str, Summary]) -> Summary:
        """Write the summary and the report of a run that was tested; the summary.

        Args:
            result: of ``Executor.evaluate``.
            references: summaries of the runs that ``references`` asks for.
        """

    def references(self) -> Mapping[str, Reference]:
        """Runs to train and compare with, by name."""
        return {}

    def validation(self) -> MetricsRow:
        """Validation of the newest parameters, as a row of the log of a training has it; empty
        where every run trains, so that its log has one."""
        return {}

    def adaptation_time(self) -> float | None:
        """Median seconds to adapt to one validation task; None where nothing is adapted."""
        return None

    @property
    def last(self) -> Checkpoint:
        """The newest checkpoint; InputError if there is none."""
        latest = self.checkpoints.latest()
        if latest is None:
            raise InputError(
                f"{self.run.path} has no checkpoint yet: train it with --resume {self.run.path}"
            )
        return latest

    @property
    def best(self) -> Checkpoint:
        """The checkpoint that validated best; the newest where none was validated.

        Raises:
            InputError: it is damaged, or gone.
        """
        last = self.last
        if last.best_step is None or last.best_step == last.step:
            return last
        try:
            return self.checkpoints.load(last.best_step)
        except InputError as error:
            raise InputError(
                f"{error}; metaray evaluate {self.run.path} --set evaluate.checkpoint=last tests "
                "the last one instead"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A new run of which nothing is written yet."""

    config: ExperimentConfig
    """that which was asked for, with defaults that fit the data"""
    record: DataRecord
    first: Checkpoint | None
    """the state of step 0; None where training draws it by itself"""
    notes: tuple[str, ...]
    """sentences for the user: where the network started, what is odd about the data"""
    session: Callable[[RunDirectory, CallbackList], Session]
    """the run in its folder"""
