"""Computes a step of the outer loop: shard sums to a learner, or to all of a group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntEnum
from typing import NamedTuple

from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.run.metrics_log import MetricsRow


class Signal(IntEnum):
    """Whether training continues after a step."""

    GO_ON = 0
    OUT_OF_TIME = 1
    """the time budget is used up: validate and test what there is"""
    STOP = 2
    """the user asked to stop: save a checkpoint and leave"""


class StepOutcome(NamedTuple):
    """What a step reports."""

    row: MetricsRow
    """metrics of the step"""
    signal: Signal = Signal.GO_ON
    """what all processes agreed on, where several run the loop"""


class Executor(ABC):
    """Owns the training state, and computes steps and validations of it.

    The two executors stay apart because their failures differ: a lost shard is computed again, a
    lost rank restarts its group.
    """

    runs_in_group: bool = False
    """whether several processes run the same loop, so that a signal has to travel with a step"""

    @abstractmethod
    def step(self, step: int, signal: Signal) -> StepOutcome:
        """Compute and apply step ``step`` (0-based); ``signal`` is that of this process.

        Raises:
            NonFiniteError: a loss or gradient is not finite; nothing was updated.
            LearnerLostError: the state is gone; ``restore`` starts from a checkpoint.
            WorkersLostError: workers were lost too often.
        """

    @abstractmethod
    def validate(self) -> MetricsRow:
        """``val_loss``, ``val_accuracy`` or ``val_mse``, and ``val_ci95`` of the current state."""

    @abstractmethod
    def snapshot(self) -> Checkpoint:
        """Everything that the next step depends on."""

    @abstractmethod
    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from ``checkpoint``."""

    def resize(self, count: int) -> None:  # noqa: B027 - a group has the size it started with
        """Let workers join or leave until there are ``count``, where that is possible."""
