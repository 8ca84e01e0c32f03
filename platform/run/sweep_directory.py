"""The folder of one sweep: what lies where in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metaray.platform.run.base_directory import BaseDirectory


@dataclass(frozen=True)
class SweepDirectory(BaseDirectory):
    """Paths of a sweep; absolute ones where trials run, as each worker has another folder."""

    NOUN = "sweep"
    MARKER = "sweep.json"
    FOLDERS = ("trials",)

    @property
    def plan(self) -> Path:
        """What was asked for."""
        return self.path / self.MARKER

    @property
    def study(self) -> Path:
        """Optuna's SQLite file, unless the study is kept elsewhere."""
        return self.path / "study.db"

    @property
    def tune(self) -> Path:
        """Ray Tune's own files, of no use after the sweep."""
        return self.path / ".tune"

    def space(self, suffix: str) -> Path:
        """The searched ranges, ``.toml`` or ``.py``."""
        return self.path / f"space{suffix}"

    def trial(self, number: int) -> Path:
        """The run directory of a trial."""
        return self.path / "trials" / f"{number:04d}"

    @property
    def trials_table(self) -> Path:
        """One row per trial."""
        return self.path / "sweep.parquet"

    @property
    def curves_table(self) -> Path:
        """One row per validation of each trial."""
        return self.path / "curves.parquet"

    @property
    def best(self) -> Path:
        """The settings of the best trial, as ``metaray train`` takes them."""
        return self.path / "best.toml"

    @property
    def page(self) -> Path:
        """The self-contained page."""
        return self.path / "sweep.html"


def trial_number(folder: Path) -> int:
    """Which trial's run directory ``folder`` is.

    >>> trial_number(Path("night/trials/0012"))
    12
    """
    return int(folder.name)
