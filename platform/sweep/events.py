"""What can happen in a sweep, beside the events of any run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metaray.platform.callbacks.events import Event
from metaray.platform.sweep.outcome import Metrics
from metaray.platform.sweep.population import Exploit


@dataclass(frozen=True, kw_only=True)
class TrialEvent(Event):
    """Something happened to a trial."""

    number: int


@dataclass(frozen=True, kw_only=True)
class TrialStarted(TrialEvent):
    """A trial starts, or continues from its checkpoint."""

    values: Mapping[str, Any]
    """the settings that the search chose"""


@dataclass(frozen=True, kw_only=True)
class TrialPaused(TrialEvent):
    """A trial waits for the others."""


@dataclass(frozen=True, kw_only=True)
class TrialValidated(TrialEvent):
    """A trial has been validated. One that continues reports earlier validations again."""

    metrics: Metrics


@dataclass(frozen=True, kw_only=True)
class TrialExploited(TrialEvent):
    """A trial continues from the parameters of another one."""

    exploit: Exploit


@dataclass(frozen=True, kw_only=True)
class TrialEnded(TrialEvent):
    """A trial is over."""

    state: str
    """``complete``, ``pruned``, ``failed`` or ``unfinished``"""
    metrics: Metrics
    """as of its last validation; may be empty"""
    reason: str | None = None
    """why it failed"""
