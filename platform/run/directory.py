"""The folder of one run: what lies where in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from metaray.platform.run.base_directory import BaseDirectory

_CHECKPOINT = re.compile(r"step-([0-9]{8,18})\.safetensors")
_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class RunDirectory(BaseDirectory):
    """Paths of a run."""

    NOUN = "run"
    MARKER = "config.json"
    FOLDERS = ("checkpoints", "plots", "evaluations")

    @property
    def config(self) -> Path:
        """The fully resolved settings, with versions."""
        return self.path / self.MARKER

    @property
    def data(self) -> Path:
        """The content hash of the data set that trains it, and the shape of its inputs."""
        return self.path / "data.json"

    @property
    def trained_images(self) -> Path:
        """Digests of the training images: they find training images in the test of other data."""
        return self.path / "trained_images.npy"

    @property
    def metrics(self) -> Path:
        """One JSON line per outer step."""
        return self.path / "metrics.jsonl"

    @property
    def episodes(self) -> Path:
        """One row per meta-test episode."""
        return self.path / "episodes.parquet"

    @property
    def calibration(self) -> Path:
        """How sure the tested parameters may be of their predictions."""
        return self.path / "calibration.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

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
        latest = max(numbered(self.evaluations), default=None)
        return self.config if latest is None else latest[1] / self.MARKER

    @property
    def note_of_place(self) -> Path:
        """A file beside a local copy that says which URI it is the copy of."""
        return self.path.with_name(f".{self.path.name}.place")

    @property
    def place(self) -> str:
        """Where its user knows it: that URI, or its path."""
        note = self.note_of_place
        return note.read_text(encoding="utf-8") if note.is_file() else str(self.path)


def numbered(folder: Path) -> Iterator[tuple[int, Path]]:
    """The folders of meta-tests in ``folder``, with their numbers; other names are passed over."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if _NUMBER.fullmatch(path.name) and (path / RunDirectory.MARKER).is_file():
            yield int(path.name), path


def saved_steps(folder: Path) -> Iterator[int]:
    """The steps that have a checkpoint in ``folder``; other names of files are passed over."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if (hit := _CHECKPOINT.fullmatch(path.name)) is not None:
            yield int(hit[1])


def checkpoint_file(folder: Path, step: int) -> Path:
    """Where the checkpoint of ``step`` lies."""
    return folder / f"step-{step:08d}.safetensors"


def fresh_place(name: str) -> str:
    """``runs/NAME-TIME``, in local time to the second; $METARAY_RUNS is another ``runs``."""
    return usual_place(f"{name}-{datetime.now():%Y%m%d-%H%M%S}")


def usual_place(name: str) -> str:
    """``runs/NAME``; $METARAY_RUNS is another ``runs``."""
    root = os.environ.get("METARAY_RUNS") or "runs"
    return f"{root.rstrip('/')}/{name}"
