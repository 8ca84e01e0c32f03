"""The folder of one sweep: what lies where in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metaray.algorithms.errors import InputError


@dataclass(frozen=True)
class SweepDirectory:
    """Paths of a sweep. ``create`` and ``open`` check; the class itself only names."""

    path: Path

    @property
    def plan(self) -> Path:
        """What was asked for."""
        return self.path / "sweep.json"

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
    def summary(self) -> Path:
        """The result of the sweep."""
        return self.path / "summary.json"

    @property
    def best(self) -> Path:
        """The settings of the best trial, as ``metaray train`` takes them."""
        return self.path / "best.toml"

    @property
    def plots(self) -> Path:
        """Folder of PNG plots."""
        return self.path / "plots"

    @property
    def page(self) -> Path:
        """The self-contained page."""
        return self.path / "sweep.html"

    @classmethod
    def create(cls, path: Path) -> SweepDirectory:
        """A fresh folder.

        Raises:
            InputError: it holds a sweep or other files already, or cannot be written.
        """
        cls.check_fresh(path)
        folder = cls(path.absolute())  # workers run in folders of their own
        try:
            (folder.path / "trials").mkdir(parents=True)
        except OSError as error:
            raise InputError(f"cannot create a sweep in {path}: {error.strerror}") from error
        return folder

    @classmethod
    def check_fresh(cls, path: Path) -> None:
        """Raise an InputError where ``create`` would, for a folder that is in use."""
        if cls(path).plan.exists():
            raise InputError(
                f"{path} already holds a sweep: continue it with --resume {path}, "
                "or choose another folder with --out"
            )
        if path.is_dir() and any(path.iterdir()):
            raise InputError(
                f"{path} is not empty and holds no sweep: choose another folder with --out"
            )

    @classmethod
    def open(cls, path: Path) -> SweepDirectory:
        """The folder of an existing sweep.

        Raises:
            InputError: there is none.
        """
        folder = cls(path.absolute())
        if not folder.plan.is_file():
            found = "there is no such folder" if not path.exists() else "it has no sweep.json"
            raise InputError(f"{path} is not a sweep ({found}): give the --out folder of a sweep")
        return folder


def trial_number(folder: Path) -> int:
    """Which trial's run directory ``folder`` is.

    >>> trial_number(Path("night/trials/0012"))
    12
    """
    return int(folder.name)
