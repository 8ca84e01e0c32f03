"""What can happen in a run. ``Callback.on_event`` receives these objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metaray.platform.run.status import WorkerState

Workers = Callable[[], Sequence[WorkerState]]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened."""

    text: str = ""
    """one sentence for people; empty where there is nothing to say"""


@dataclass(frozen=True, kw_only=True)
class Message(Event):
    """Only a sentence: a worker was lost, a worker joined."""


@dataclass(frozen=True, kw_only=True)
class TrainingStarted(Event):
    """The first step comes next."""


@dataclass(frozen=True, kw_only=True)
class TrainingEnded(Event):
    """The last step is done, or training stopped or failed."""


@dataclass(frozen=True, kw_only=True)
class EvaluationStarted(Event):
    """The test begins."""

    total: int
    """episodes to evaluate"""


@dataclass(frozen=True, kw_only=True)
class EvaluationAdvanced(Event):
    """A part of the test is done."""

    done: int
    """episodes since the last of these events"""


@dataclass(frozen=True, kw_only=True)
class EvaluationEnded(Event):
    """The test is over."""


@dataclass(frozen=True, kw_only=True)
class Attached(Event):
    """Workers compute from now on, and Ray is connected if the run uses it."""

    workers: Workers
    """returns the current state of each worker"""


@dataclass(frozen=True, kw_only=True)
class Detached(Event):
    """The workers will be released."""

    error: BaseException | None
    """what ended their work, if it did not end by itself"""
