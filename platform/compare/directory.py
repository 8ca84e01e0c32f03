"""The folder of one comparison: what lies where in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metaray.platform.compare.plan import Plan
from metaray.platform.run.base_directory import BaseDirectory


@dataclass(frozen=True)
class RunFolder:
    """The run directory of one entry under one seed, and what a comparison adds to it."""

    entry: str
    seed: int
    path: Path

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.entry}, seed {self.seed}"

    @property
    def measures(self) -> Path:
        """Costs and curves of the run; written last, so that it says that all is done."""
        return self.path / "measures.json"

    @property
    def failure(self) -> Path:
        """Why the run cannot continue."""
        return self.path / "failure.txt"


@dataclass(frozen=True)
class CompareDirectory(BaseDirectory):
    """Paths of a comparison; absolute ones where it runs, as its runs are led from elsewhere."""

    NOUN = "comparison"
    MARKER = "compare.json"
    FOLDERS = ("plots",)

    @property
    def plan(self) -> Path:
        """What is compared, with versions."""
        return self.path / self.MARKER

    @property
    def episodes(self) -> Path:
        """One row per run and test episode."""
        return self.path / "compare.parquet"

    @property
    def page(self) -> Path:
        """The self-contained page."""
        return self.path / "compare.html"

    def runs(self, plan: Plan) -> list[RunFolder]:
        """Seed by seed, so that a comparison that is cut short has every entry."""
        return [
            RunFolder(entry.name, seed, self.path / "runs" / entry.name / f"seed{seed}")
            for seed in plan.seeds
            for entry in plan.entries
        ]
