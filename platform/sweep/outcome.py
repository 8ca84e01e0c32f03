"""How a trial ended, as a file in its run directory: it outlives the process that knew."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metaray.algorithms.atomic import write_json

Metrics = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """A trial that came to its own end: it trained to the last step, or it failed."""

    metrics: Metrics
    """``step`` and the metrics of ``plan.DIRECTIONS``; empty if it failed"""
    failure: str | None = None
    """why it has no result"""

    def write(self, folder: Path) -> None:
        """Into the run directory of the trial."""
        write_json(_file(folder), asdict(self))

    @classmethod
    def read(cls, folder: Path) -> TrialResult | None:
        """The outcome of the trial in ``folder``; None if it did not come to an end."""
        try:
            return cls(**json.loads(_file(folder).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None


def _file(folder: Path) -> Path:
    return folder / "trial.json"
