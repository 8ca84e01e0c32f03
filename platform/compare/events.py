"""What can happen in a comparison, beside the events of any run."""

from __future__ import annotations

from dataclasses import dataclass

from metaray.platform.callbacks.events import Event
from metaray.platform.compare.directory import RunFolder
from metaray.platform.compare.status import RunProgress


@dataclass(frozen=True, kw_only=True)
class RunUpdated(Event):
    """A run of the comparison started, made steps, or ended."""

    run: RunFolder
    """its entry, seed and run directory"""
    progress: RunProgress
    """its state (``starting``, ``training``, ``testing``, ``done``, ``failed`` or ``stopped``),
    its step and its metrics"""
