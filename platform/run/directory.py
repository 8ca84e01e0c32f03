"""The folder of one run: what lies where in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from metaray.algorithms.errors import InputError


@dataclass(frozen=True)
class RunDirectory:
    """Paths of a run. ``create`` and ``open`` check; the class itself only names."""

    path: Path

    @property
    def config(self) -> Path:
        """The fully resolved settings, with versions."""
        return self.path / "config.json"

    @property
    def data(self) -> Path:
        """The content hash of the data set that trains it, and the shape of its inputs."""
        return self.path / "data.json"

    @property
    def metrics(self) -> Path:
        """One JSON line per outer step."""
        return self.path / "metrics.jsonl"

    @property
    def episodes(self) -> Path:
        """One row per meta-test episode."""
        return self.path / "episodes.parquet"

    @property
    def summary(self) -> Path:
        """The result of the meta-test."""
        return self.path / "summary.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def plots(self) -> Path:
        """Folder of PNG plots."""
        return self.path / "plots"

    @property
    def report(self) -> Path:
        """The self-contained page."""
        return self.path / "report.html"

    @property
    def evaluations(self) -> Path:
        """Folder with the result of every meta-test, the latest of which is also at the top."""
        return self.path / "evaluations"

    @property
    def tested_config(self) -> Path:
        """Settings of the latest meta-test; where there was none, those of the run."""
        return max(self.evaluations.glob("[0-9]*/config.json"), default=self.config)

    @property
    def note_of_place(self) -> Path:
        """A file beside a local copy that says which URI it is the copy of."""
        return self.path.with_name(f".{self.path.name}.place")

    @property
    def place(self) -> str:
        """Where its user knows it: that URI, or its path."""
        note = self.note_of_place
        return note.read_text(encoding="utf-8") if note.is_file() else str(self.path)

    @classmethod
    def check_free(cls, path: Path) -> RunDirectory:
        """A run folder that may be made; InputError where there is a run, or other files."""
        run = cls(path)
        if run.config.exists():
            raise InputError(
                f"{path} already holds a run: continue it with --resume {path}, "
                "or choose another folder with --out"
            )
        if path.is_dir() and any(path.iterdir()):
            raise InputError(
                f"{path} is not empty and holds no run: choose another folder with --out"
            )
        return run

    @classmethod
    def create(cls, path: Path) -> RunDirectory:
        """A fresh run folder.

        Raises:
            InputError: it holds a run or other files already, or cannot be written.
        """
        run = cls.check_free(path)
        try:
            for folder in (run.path, run.checkpoints, run.plots, run.evaluations):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot create a run in {path}: {error.strerror}") from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """The folder of an existing run.

        Raises:
            InputError: there is none.
        """
        run = cls(path)
        if not run.config.is_file():
            found = "there is no such folder" if not path.exists() else "it has no config.json"
            raise InputError(
                f"{path} is not a run directory ({found}): give the --out folder of a run"
            )
        return run


def fresh_place(name: str) -> str:
    """``runs/NAME-TIME``, in local time to the second; $METARAY_RUNS is another ``runs``."""
    root = os.environ.get("METARAY_RUNS") or "runs"
    return f"{root.rstrip('/')}/{name}-{datetime.now():%Y%m%d-%H%M%S}"
