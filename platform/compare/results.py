"""The results of a comparison, from the directories of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from metaray.algorithms.errors import InputError
from metaray.platform.compare.directory import CompareDirectory, RunFolder
from metaray.platform.compare.measures import read_measures
from metaray.platform.compare.paired import (
    Array,
    Difference,
    Estimate,
    Scores,
    differences,
    estimate,
)
from metaray.platform.compare.plan import Plan
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.experiment.comparison import ScoredRun
from metaray.platform.run.directory import RunDirectory


@dataclass(frozen=True, kw_only=True, eq=False)
class RunResult:
    """One finished run."""

    folder: RunFolder
    config: ExperimentConfig
    record: ScoredRun
    measures: dict[str, Any]

    @property
    def trained_by(self) -> str:
        """Name of the method that trained it."""
        return str(getattr(self.config, self.config.section).name)

    @property
    def scores(self) -> Array:
        """The score of every test episode ``[E]``."""
        scores = self.record.per_episode(self.record.score_name)
        assert scores is not None  # every meta-test writes it
        return scores


@dataclass(frozen=True, kw_only=True, eq=False)
class EntryResult:
    """One entry: all of its finished runs together."""

    name: str
    runs: tuple[RunResult, ...]
    score: Estimate
    difference: Difference | None
    """to the reference; None for the reference itself"""

    @property
    def first(self) -> ScoredRun:
        """Stands for what all runs of the entry have in common."""
        return self.runs[0].record

    def mean(self, key: str) -> float | None:
        """Of a value in the runs' summaries, over those that have it."""
        return _mean(run.record.summary.get(key) for run in self.runs)

    def curve(self) -> dict[tuple[int, int], list[dict[str, Any]]]:
        """The tests at other shapes, by (ways, shots): one for each run that could be tested so."""
        points: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for run in self.runs:
            for point in run.measures["curve"]:
                if "score" in point:
                    points.setdefault((point["ways"], point["shots"]), []).append(point)
        return points

    def metrics(self) -> dict[str, Any]:
        """The row for ``summary.json``."""
        memory = [run.measures["peak_memory_bytes"] for run in self.runs]
        known = [value for value in memory if value is not None]
        return {
            "entry": self.name,
            "method": self.runs[0].trained_by,
            "seeds": [run.folder.seed for run in self.runs],
            "score": asdict(self.score),
            "classes_ci95": self.mean("classes_ci95"),
            "difference": asdict(self.difference) if self.difference else None,
            "batch_norm": self.first.summary.get("batch_norm"),
            "train_s": self.mean("wall_s"),
            "outer_steps": self.mean("outer_steps"),
            "tasks_per_s": self.mean("tasks_per_s"),
            "adaptation_s": float(np.median([r.measures["adaptation_s"] for r in self.runs])),
            "peak_memory_bytes": max(known, default=None),
            "num_parameters": self.first.summary["num_parameters"],
            "curve": [
                {"ways": ways, "shots": shots, "score": mean, "ci95": ci95, "num_runs": len(points)}
                for (ways, shots), points in self.curve().items()
                for mean, ci95 in (over_runs(points),)
            ],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """All that the table, the plots and the page are made from."""

    folder: Path
    """of the comparison"""
    plan: Plan
    rows: tuple[EntryResult, ...]
    """the best first"""
    reference: str
    failures: dict[str, str]
    """why runs have no result, by run"""

    @property
    def score_name(self) -> str:
        """``accuracy`` or ``mse``."""
        return self.rows[0].first.score_name

    @property
    def is_regression(self) -> bool:
        """Whether a lower score is better."""
        return self.rows[0].first.is_regression

    @property
    def test(self) -> dict[str, Any]:
        """What all entries were tested on."""
        return self.plan.comparison.test_of(self.plan.common)

    def row(self, name: str) -> EntryResult:
        """The row of an entry."""
        return next(row for row in self.rows if row.name == name)

    @classmethod
    def read(cls, directory: CompareDirectory, plan: Plan) -> Results:
        """From the runs that are there.

        Raises:
            InputError: no run has a result, a result is damaged, or runs of one seed have not seen
                the same episodes.
        """
        comparison, configs = plan.comparison, plan.configs
        runs, failures = [], {}
        for folder in directory.runs(plan):
            if folder.measures.is_file():
                runs.append(
                    RunResult(
                        folder=folder,
                        config=configs[folder.entry],
                        record=comparison.record(RunDirectory(folder.path)),
                        measures=read_measures(folder.measures),
                    )
                )
            elif folder.failure.is_file():
                details = folder.failure.read_text(encoding="utf-8").strip()
                failures[folder.label] = details.splitlines()[-1]
        if not runs:
            why = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
            raise InputError(f"no run in {directory.path} has a result ({why or 'none was begun'})")
        _check_same_episodes(runs)
        scores = _scores(runs)
        reference = _reference(plan, scores, runs[0].record.is_regression)
        found = differences(scores, reference)
        rows = [
            EntryResult(
                name=name,
                runs=tuple(run for run in runs if run.folder.entry == name),
                score=estimate(by_seed),
                difference=found.get(name),
            )
            for name, by_seed in scores.items()
        ]
        sign = 1 if runs[0].record.is_regression else -1
        rows.sort(key=lambda row: sign * row.score.mean)
        return cls(
            folder=directory.path,
            plan=plan,
            rows=tuple(rows),
            reference=reference,
            failures=failures,
        )

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``."""
        return {
            "budget": self.plan.budget.model_dump(),
            "seeds": list(self.plan.seeds),
            **self.test,
            "score": self.score_name,
            "reference": self.reference,
            "entries": [row.metrics() for row in self.rows],
            "failed": self.failures,
            "notes": list(self.plan.notes),
        }

    def episodes(self) -> pa.Table:
        """One row per run and test episode."""
        tables = []
        for row in self.rows:
            for run in row.runs:
                table = run.record.episodes
                kept = [n for n in table.column_names if not n.endswith("_by_step")]
                table = table.select(kept)
                for name, value in (
                    ("seed", run.folder.seed),
                    ("method", run.trained_by),
                    ("entry", row.name),
                ):
                    table = table.add_column(0, name, pa.array([value] * table.num_rows))
                tables.append(table)
        return pa.concat_tables(tables, promote_options="default")


def over_runs(points: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """The mean of a shape's score over runs, and half its 95 % interval over their episodes."""
    mean = float(np.mean([point["score"] for point in points]))
    ci95 = float(np.sqrt(np.sum([point["ci95"] ** 2 for point in points])) / len(points))
    return mean, ci95


def _scores(runs: Sequence[RunResult]) -> dict[str, Scores]:
    scores: dict[str, dict[int, Array]] = {}
    for run in runs:
        scores.setdefault(run.folder.entry, {})[run.folder.seed] = run.scores
    return dict(scores)


def _reference(plan: Plan, scores: dict[str, Scores], is_regression: bool) -> str:
    if plan.reference is not None:
        if plan.reference not in scores:
            raise InputError(
                f"the reference {plan.reference} has no result to compare to: see its failure.txt"
            )
        return plan.reference
    means = {name: estimate(by_seed).mean for name, by_seed in scores.items()}
    best = min if is_regression else max
    return best(means, key=lambda name: means[name])


def _check_same_episodes(runs: Sequence[RunResult]) -> None:
    first: dict[int, RunResult] = {}
    for run in runs:
        other = first.setdefault(run.folder.seed, run)
        if run.measures["episodes_sha256"] != other.measures["episodes_sha256"]:
            raise InputError(
                f"{run.folder.label} was not tested on the episodes of {other.folder.label}, so "
                "the two cannot be compared: the data has changed in between; compare again"
            )


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
