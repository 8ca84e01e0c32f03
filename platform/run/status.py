"""Where a run stands, as the file ``status.json`` of its folder.

Nothing of the run depends on it: resuming does not read it.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from metaray.algorithms.atomic import write_json

State = Literal["starting", "training", "testing", "done", "stopped", "failed"]
WorkerStates = Literal["starting", "idle", "busy", "leaving", "lost", "replaced"]
_OVER = ("done", "stopped", "failed")


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """One worker."""

    number: int
    state: WorkerStates
    pid: int | None = None
    node: str | None = None
    """address of its machine"""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened: a worker was lost, or joined."""

    at: float
    """Unix time in seconds"""
    text: str


TRIAL_STATES = ("running", "waiting", "complete", "pruned", "failed", "unfinished")


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """One trial of a sweep."""

    number: int
    state: str
    """one of TRIAL_STATES"""
    values: Mapping[str, Any] = field(default_factory=dict)
    """what it varies"""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """as of its last validation"""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The complete trial of a sweep that is best so far."""

    trial: int
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the file says. Times are Unix times in seconds."""

    kind: str
    run: str
    trial: str = ""
    state: State = "starting"
    began: float
    """this start of it: a resumed run begins anew"""
    updated: float
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    start_step: int = 0
    """steps that were done before this start"""
    total_steps: int = 0
    """of a sweep: those of a trial"""
    at_most_s: float | None = None
    """what a time budget left at the start"""
    tested: int = 0
    """episodes of the test that are done"""
    to_test: int = 0
    workers: tuple[WorkerState, ...] = ()
    trials: tuple[TrialState, ...] = ()
    planned_trials: int = 0
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
        try:
            tree = json.loads(_file(folder).read_text(encoding="utf-8"))
            tree["workers"] = tuple(WorkerState(**one) for one in tree["workers"])
            tree["trials"] = tuple(TrialState(**one) for one in tree["trials"])
            tree["events"] = tuple(Event(**one) for one in tree["events"])
            if tree["best"] is not None:
                tree["best"] = Best(**tree["best"])
            return cls(**tree)
        except (OSError, ValueError, TypeError, KeyError):  # none, or of another version
            return None


def _file(folder: Path) -> Path:
    return folder / "status.json"
