"""Reads the ``summary.json`` of a run, and checks what pages and commands take from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from typing_extensions import Self

from metaray.algorithms.reading import read_object, refusing_damage
from metaray.platform.run.directory import RunDirectory

Summary = dict[str, Any]
_Bins = list[tuple[float | None, float | None, int]]


class _Checked(BaseModel):
    """Known keys have the right types; others are left as they are, as of newer versions."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Training(_Checked):
    params_sha256: str = ""
    tested_at: datetime | None = None
    device: str = ""
    network: str = ""
    wall_s: float = 0.0
    workers: int = 0
    num_parameters: int = 0
    calibration: _Bins | None = None
    loss: float | None = None
    ece: float | None = None
    val_accuracy: float | None = None


class _Start(_Checked):
    run: str
    trained_by: str
    step: int


class _Confusion(_Checked):
    classes: list[str]
    shares: list[list[float | None]]

    @model_validator(mode="after")
    def _is_square(self) -> Self:
        count = len(self.classes)
        if len(self.shares) != count or any(len(row) != count for row in self.shares):
            raise ValueError(f"{count} classes need as many rows and columns")
        return self


class _Split(_Checked):
    classes: int
    images: int


class _Splits(_Checked):
    train: _Split
    val: _Split
    test: _Split


class _ShapeBin(_Checked):
    first: int = Field(alias="from")
    to: int
    episodes: int
    accuracy: float
    ci95: float | None


class _OfMetaTest(_Training):
    """Reports take older files, which lack some keys; what may be null has None."""

    method: str
    dataset: str = ""
    trained_on: str = ""
    data_settings: dict[str, Any] | None = None
    ways: int | None = 0
    shots: int | None = 0
    queries: int = 0
    within_group: bool = False
    test_rotations: str | None = None
    num_episodes: int = 0
    accuracy: float | None = None
    mse: float | None = None
    ci95: float = 0.0
    macro_f1: float | None = None
    reported_steps: list[int] = []
    accuracy_by_step: list[float] | None = None
    mse_by_step: list[float] | None = None
    ci95_by_step: list[float] = []
    batch_norm: str = ""
    baseline_accuracy: float | None = None
    baseline_mse: float | None = None
    baseline_ci95: float = 0.0
    inner_steps: int | None = None
    eval_inner_steps: int | None = None
    outer_steps: int = 0
    tested_step: int = 0
    checkpoint: str | None = None
    val_mse: float | None = None
    tasks_per_s: float | None = None
    init: _Start | None = None
    num_test_classes: int | None = None
    classes_ci95: float | None = None
    class_accuracy: dict[str, float] | None = None
    confusion: _Confusion | None = None
    splits: _Splits | None = None
    chance: float | None = None
    by_ways: list[_ShapeBin] = []
    by_shots: list[_ShapeBin] = []


class _Accuracy(_Checked):
    accuracy: float
    ci95: float
    interval: tuple[float, float]


class _MostPredicted(_Checked):
    name: str
    share: float
    label_share: float


class _Reference(_Accuracy):
    training: str


class _Images(_Checked):
    train: int
    val: int
    test: int


class _OfTransfer(_Training, _Accuracy):
    job: str
    dataset: str
    target: str | None
    tests_target: bool
    labels_per_class: int | None
    pictures: _Images
    num_classes: int = Field(ge=1)
    num_examples: int
    probes: dict[str, _Accuracy]
    before: _Accuracy
    references: dict[str, _Reference] = {}
    init: _Start | None
    steps: int
    planned_steps: int
    tested_step: int
    examples_per_s: float | None
    most_predicted: _MostPredicted | None = None


_KINDS: dict[str, TypeAdapter[Any]] = {
    "job": TypeAdapter(_OfTransfer),
    "method": TypeAdapter(_OfMetaTest),
}


_ALWAYS = {
    "job": ("params_sha256", "wall_s", "workers", "num_parameters"),
    "method": (
        *("dataset", "trained_on", "ways", "shots", "num_episodes", "accuracy", "ci95"),
        *("batch_norm", "tested_step", "params_sha256"),
    ),
}
"""keys that commands and the Python API take for granted"""


def read_summary(run: RunDirectory) -> Summary | None:
    """The summary of a run, or None where there is none yet.

    Raises:
        InputError: it is damaged.
    """
    return checked_summary(run.summary, whole=True) if run.summary.is_file() else None


def is_as_it_began(summary: Mapping[str, Any]) -> bool:
    """Whether nothing was trained: what a meta-test had is the baseline itself."""
    return summary.get("outer_steps") == 0 and summary.get("init") is None


def checked_summary(path: Path, *, whole: bool = False) -> Summary:
    """The summary in a file, which must be there; ``whole`` takes none that lacks a key.

    Raises:
        InputError: it is missing or damaged.
    """
    problem = f"{path} is not the result of a run"
    remedy = f"write it again with metaray evaluate {path.parent}"
    summary = read_object(path, problem, remedy)
    kind = "job" if "job" in summary else "method"
    with refusing_damage(problem, remedy):
        _KINDS[kind].validate_json(json.dumps(summary))  # where a list may be a tuple
        score = "mse" if summary.get("accuracy") is None else "accuracy"
        own = (score, f"baseline_{score}") if kind == "method" and whole else (score,)
        for key in own:
            if summary.get(key) is None:
                raise KeyError(key)
        for key in _ALWAYS[kind] if whole else ():
            summary[key]
    return summary
