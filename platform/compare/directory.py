"""The folder of one comparison: what lies where in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metaray.algorithms.errors import InputError
from metaray.platform.compare.plan import Plan


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
        """Why the run cannot go on."""
        return self.path / "failure.txt"


@dataclass(frozen=True)
class CompareDirectory:
    """Paths of a comparison. Methods check; the class itself only names."""

    path: Path

    @property
    def plan(self) -> Path:
        """What is compared, with versions."""
        return self.path / "compare.json"

    @property
    def episodes(self) -> Path:
        """One row per run and test episode."""
        return self.path / "compare.parquet"

    @property
    def summary(self) -> Path:
        """The tables."""
        return self.path / "summary.json"

    @property
    def plots(self) -> Path:
        """Folder of PNG plots."""
        return self.path / "plots"

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

    def check_free(self) -> None:
        """Raise InputError when something is there already."""
        if self.plan.exists():
            raise InputError(
                f"{self.path} already holds a comparison: continue it with --resume {self.path}, "
                "or choose another folder with --out"
            )
        if self.path.exists() and not (self.path.is_dir() and not any(self.path.iterdir())):
            raise InputError(
                f"{self.path} is not empty and holds no comparison: choose another folder "
                "with --out"
            )

    def create(self, plan: Plan) -> None:
        """Make the folder, with the plan in it.

        Raises:
            InputError: it holds something already, or cannot be written.
        """
        self.check_free()
        try:
            self.plots.mkdir(parents=True)
            plan.write(self.plan)
        except OSError as error:
            raise InputError(
                f"cannot create a comparison in {self.path}: {error.strerror}"
            ) from error

    @classmethod
    def open(cls, path: Path) -> tuple[CompareDirectory, Plan]:
        """The folder of an existing comparison, and its plan.

        Raises:
            InputError: there is none.
        """
        directory = cls(path)
        if not directory.plan.is_file():
            found = "there is no such folder" if not path.exists() else "it has no compare.json"
            raise InputError(
                f"{path} is not the folder of a comparison ({found}): there is nothing to resume"
            )
        return directory, Plan.read(directory.plan)
