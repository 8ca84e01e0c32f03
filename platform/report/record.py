"""What a report is made from: the files of one run, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metaray.algorithms.episode_shape import EpisodeShape
from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import refusing_damage
from metaray.platform.common.arrow import from_column, read_parquet
from metaray.platform.config.loading import read_config, read_versions
from metaray.platform.config.meta import RunConfig
from metaray.platform.run.calibration import Calibration
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.run.summary import checked_summary

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MetricsTable:
    """The rows of ``metrics.jsonl``, by column."""

    rows: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, key: str) -> Array:
        """A metric of every step; NaN where a row has none."""
        values = (row.get(key) for row in self.rows)
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def has(self, key: str) -> bool:
        """Whether any row has this metric."""
        return bool(np.isfinite(self.column(key)).any())


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRecord:
    """Settings, metrics, and the result of the latest meta-test."""

    config: RunConfig
    tested: RunConfig
    """settings of the latest meta-test"""
    versions: dict[str, str]
    metrics: MetricsTable
    summary: dict[str, Any]
    episodes: pa.Table
    calibration: Calibration | None = None
    """of the tested parameters; None where it was not measured"""

    @classmethod
    def read(cls, run: RunDirectory) -> RunRecord:
        """The record of ``run``.

        Raises:
            InputError: a file is missing or is not what metaray wrote.
        """
        if not run.summary.is_file() or not run.episodes.is_file():
            raise InputError(
                f"{run.path} has no meta-test to report: run metaray evaluate {run.path} first"
            )
        return cls(
            config=read_config(RunConfig, run.config),
            tested=read_config(RunConfig, run.tested_config),
            versions=read_versions(run.config),
            metrics=MetricsTable(MetricsLog.read(run.metrics) if run.metrics.exists() else []),
            summary=checked_summary(run.summary),
            episodes=read_episodes(run),
            calibration=Calibration.read(run.calibration),
        )

    @property
    def is_regression(self) -> bool:
        """Whether the score is a mean squared error and not an accuracy."""
        return self.summary.get("accuracy") is None

    @property
    def score_name(self) -> str:
        """``accuracy`` or ``mse``: the name of the score in every file."""
        return "mse" if self.is_regression else "accuracy"

    @property
    def score(self) -> float:
        """The result."""
        return float(self.summary[self.score_name])

    @property
    def shape(self) -> EpisodeShape:
        """Shape of the episodes of the test, which may have been set again for it."""
        if self.tested.test_shape.varying is not None:
            return self.tested.test_shape
        keys = ("ways", "shots", "queries", "within_group")
        found = {key: self.summary[key] for key in keys if key in self.summary}
        return replace(self.config.test_shape, varying=None, **found)

    @property
    def tested_on(self) -> str:
        """The data set of the test, which may be another than that of the training."""
        return str(self.summary.get("dataset", self.config.data.name))

    @property
    def is_cross_domain(self) -> bool:
        """Whether the test was on another data set; two folders are two data sets."""
        return self.summary.get("data_settings") is not None

    @property
    def is_meta_trained(self) -> bool:
        """Whether any outer step was asked for."""
        return self.config.train.outer_steps > 0

    @property
    def is_of_encoder(self) -> bool:
        """Whether nothing was meta-trained: what was tested is as another run left it."""
        return not self.is_meta_trained and self.summary.get("init") is not None

    @property
    def is_as_it_began(self) -> bool:
        """Whether nothing was trained at all: what was tested is the baseline itself."""
        return not self.is_meta_trained and self.summary.get("init") is None

    @property
    def has_images(self) -> bool:
        """Whether the inputs of the test are images, and not vectors or numbers."""
        return self.tested.data.has_images

    @property
    def subject(self) -> str:
        """What was tested, for a legend."""
        if self.is_meta_trained:
            return "meta-trained"
        return "encoder" if self.is_of_encoder else "not trained"

    @property
    def chance(self) -> float | None:
        """Accuracy of a guess; None for regression."""
        if self.is_regression or self.shape.varying is None:
            return None if self.is_regression else 1.0 / self.shape.ways
        found: float | None = self.summary.get("chance")
        return found

    def column(self, key: str) -> Array:
        """A metric of every outer step; NaN where a row has none."""
        return self.metrics.column(key)

    def has(self, key: str) -> bool:
        """Whether any row has this metric."""
        return self.metrics.has(key)

    def by_step(self, key: str) -> Array:
        """A list of the summary, one value for each reported inner step; empty if it has none."""
        return np.array(self.summary.get(key) or [], np.float64)

    def per_episode(self, key: str) -> Array | None:
        """A column of the meta-test's episodes, if it has it."""
        if key not in self.episodes.column_names:
            return None
        column: Array = from_column(self.episodes.column(key))
        return column


def read_episodes(run: RunDirectory) -> pa.Table:
    """The table of a run's latest test, a row for each episode.

    Raises:
        InputError: it is damaged.
    """
    path = run.episodes
    with refusing_damage(
        f"{path} is not a table of episodes", f"write it again with metaray evaluate {run.path}"
    ):
        table = read_parquet(path)
        for name in table.column_names:
            column = table.column(name)
            if column.null_count or not _is_numeric(column.type):
                raise ValueError(f"column {name} holds {column.type}")
    return table


def _is_numeric(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _is_numeric(kind.value_type)
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
