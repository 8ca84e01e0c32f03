"""What a folder holds: a run of some kind, a sweep, a trial of one, or a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metaray.platform.run.sweep_directory import SweepDirectory


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The labels of a run."""

    kind: str
    """``train``, ``transfer`` or another kind of run; ``sweep``; ``compare``"""
    run: str
    """name of the folder; of a trial, that of its sweep"""
    trial: str = ""
    """number of a trial"""

    @classmethod
    def of(cls, folder: Path, kind: str) -> Identity:
        """That of the run in ``folder``; ``kind`` is that of its config."""
        path = folder.absolute()
        sweep = SweepDirectory(path.parent.parent)
        if path.parent.name == "trials" and sweep.plan.is_file():
            return cls(kind="sweep", run=sweep.path.name, trial=path.name)
        return cls(kind=kind, run=path.name)

    @property
    def labels(self) -> dict[str, str]:
        """As metrics have them."""
        return {"kind": self.kind, "run": self.run, "trial": self.trial}
