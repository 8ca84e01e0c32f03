"""How a trial ended, as a file in its run directory: it outlives the process that knew."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from metaray.algorithms.atomic import write_json
from metaray.algorithms.reading import read_object, refusing_damage

_REMEDY = "delete it, and the trial trains again with --resume"
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
        """The outcome of the trial in ``folder``; None if it did not come to an end.

        Raises:
            InputError: its file is damaged.
        """
        path = _file(folder)
        if not path.exists():
            return None
        problem = f"{path} is not the result of a trial"
        tree = read_object(path, problem, _REMEDY)
        with refusing_damage(problem, _REMEDY):
            return TypeAdapter(cls).validate_python(tree)


def _file(folder: Path) -> Path:
    return folder / "trial.json"
