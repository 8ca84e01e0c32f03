"""Where a run stands, as the file ``status.json`` of its folder.

Nothing of the run depends on it: resuming does not read it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from metaray.algorithms.atomic import write_json

State = Literal["starting", "training", "testing", "done", "stopped", "failed"]
WorkerStates = Literal["starting", "idle", "busy", "leaving", "lost", "replaced"]
Count = Annotated[int, Field(ge=0, lt=2**63)]
UnixTime = Annotated[float, Field(ge=0, lt=2**34)]
"""in seconds"""
_OVER = ("done", "stopped", "failed")


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """One worker."""

    number: Count
    state: WorkerStates
    pid: int | None = None
    node: str | None = None
    """address of its machine"""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened: a worker was lost, or joined."""

    at: UnixTime
    text: str


TRIAL_STATES = ("running", "waiting", "complete", "pruned", "failed", "unfinished")


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """One trial of a sweep."""

    number: Count
    state: str
    """one of TRIAL_STATES"""
    values: Mapping[str, Any] = field(default_factory=dict)
    """what it varies"""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """as of its last validation"""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The complete trial of a sweep that is best so far."""

    trial: Count
    metric: str
    value: FiniteFloat


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the file says. Times are Unix times in seconds."""

    kind: str
    run: str
    trial: str = ""
    state: State = "starting"
    began: UnixTime
    """this start of it; a resumed run has a new one"""
    updated: UnixTime
    pid: Annotated[int, Field(gt=0, lt=2**31)] = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    start_step: Count = 0
    """steps that were done before this start"""
    total_steps: Count = 0
    """of a sweep: those of a trial"""
    at_most_s: FiniteFloat | None = None
    """what a time budget left at the start"""
    tested: Count = 0
    """episodes of the test that are done"""
    to_test: Count = 0
    workers: tuple[WorkerState, ...] = ()
    trials: tuple[TrialState, ...] = ()
    planned_trials: Count = 0
    """of a sweep; 0 of anything else"""
    best: Best | None = None
    events: tuple[Event, ...] = ()
    """the latest"""

    @property
    def is_over(self) -> bool:
        """Whether the run said that it ended."""
        return self.state in _OVER

    @property
    def is_alive(self) -> bool:
        """Whether the process of the run exists; of another machine's, that is not known."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's
        return True

    def write(self, folder: Path) -> None:
        """Into the folder of the run. It need not outlive a power cut."""
        write_json(_file(folder), asdict(self), durable=False)

    @classmethod
    def read(cls, folder: Path) -> Status | None:
        """What the file says, or None where there is none that can be read."""
        path = _file(folder)
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes(), strict=True)
        except (OSError, ValidationError):  # none, or of another version
            return None


def _file(folder: Path) -> Path:
    return folder / "status.json"
