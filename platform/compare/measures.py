"""Reads what a run of a comparison was measured to take: its ``measures.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from metaray.algorithms.reading import read_object, refusing_damage


class _Point(BaseModel):
    """The test at another shape, or why there is none."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    ways: int
    shots: int
    score: float | None = None
    ci95: float | None = None


class _Measures(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    curve: list[_Point]
    peak_memory_bytes: int | None
    adaptation_s: float
    episodes_sha256: str


def read_measures(path: Path) -> dict[str, Any]:
    """The measures in a file.

    Raises:
        InputError: it is damaged.
    """
    problem = f"{path} does not hold the measures of a run"
    remedy = "delete it and continue with metaray compare --resume"
    measures = read_object(path, problem, remedy)
    with refusing_damage(problem, remedy):
        _Measures.model_validate(measures)
        if any("score" in point and point["score"] is None for point in measures["curve"]):
            raise ValueError("a point of its curve has no score")
    return measures
