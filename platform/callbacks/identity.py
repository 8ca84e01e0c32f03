"""What a folder holds: a training, a transfer job, a sweep, or a trial of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metaray.platform.run.sweep_directory import SweepDirectory

Kind = Literal["train", "sweep", "transfer"]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The labels of a run."""

    kind: Kind
    run: str
    """name of the folder; of a trial, that of its sweep"""
    trial: str = ""
    """number of a trial"""

    @classmethod
    def of(cls, folder: Path, config: Mapping[str, Any]) -> Identity:
        """That of the run with ``config`` (nested tables) that lies in ``folder``."""
        path = folder.absolute()
        sweep = SweepDirectory(path.parent.parent)
        if path.parent.name == "trials" and sweep.plan.is_file():
            return cls(kind="sweep", run=sweep.path.name, trial=path.name)
        return cls(kind="transfer" if "job" in config else "train", run=path.name)

    @property
    def labels(self) -> dict[str, str]:
        """As metrics have them."""
        return {"kind": self.kind, "run": self.run, "trial": self.trial}
