"""From a study to the tables, the summary and the settings of the best trial."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.parquet as pq
from optuna.trial import FrozenTrial, TrialState

from metaray.algorithms.atomic import atomic_path, write_json
from metaray.platform.common.versions import versions
from metaray.platform.config.loading import read_config
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.report.page_writer import writing
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep import study as studies
from metaray.platform.sweep.best import write_best
from metaray.platform.sweep.outcome import TrialResult
from metaray.platform.sweep.plan import SweepPlan
from metaray.platform.sweep.population import Exploit, Rates, lineage

_FEWEST_FOR_IMPORTANCE = 5
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial."""

    number: int
    state: str
    """complete, pruned, failed or unfinished"""
    values: dict[str, Any]
    """what was searched, by path; of a population, the last rates"""
    metrics: dict[str, Any]
    """of the parameters that it kept; of a pruned trial, when it was ended"""
    step: int
    reason: str | None
    duration_s: float | None
    curve: list[tuple[int, float]] = field(default_factory=list)
    """outer steps and the first metric there, of each validation by itself; of a population, as
    the trial was before it took over from another"""
    lineage: list[tuple[int, Rates]] = field(default_factory=list)
    """of a population: the rates that made its parameters, with the step from which each held"""


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """A sweep that is over, or as far as it came."""

    plan: SweepPlan
    study: optuna.Study
    trials: list[TrialRecord]
    best: TrialRecord | None
    front: list[int]
    """numbers of the trials on the Pareto front, where there are several metrics"""
    test: dict[str, Any] | None
    """summary of the best trial's test"""
    num_tested: int
    """trials that were ever tested: more than one where a sweep ended and continued"""
    config: ExperimentConfig | None
    """of the best trial"""
    versions: dict[str, str]
    exploits: list[Exploit] = field(default_factory=list)
    """of a population, in their order"""

    def having(self, state: str) -> list[TrialRecord]:
        """The trials in that state."""
        return [trial for trial in self.trials if trial.state == state]

    def valued(self, state: str) -> list[TrialRecord]:
        """The trials in that state that have the first metric."""
        name = self.plan.metrics[0]
        return [trial for trial in self.having(state) if trial.metrics.get(name) is not None]

    @cached_property
    def importances(self) -> dict[str, float]:
        """How much each setting matters by fANOVA, the most important first.

        Empty where there are too few trials, or where trials changed their settings.
        """
        if self.plan.scheduler == "pbt":
            return {}
        values = [t.metrics[self.plan.metrics[0]] for t in self.valued("complete")]
        if len(values) < _FEWEST_FOR_IMPORTANCE or np.ptp(values) == 0:
            return {}
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        several = len(self.plan.metrics) > 1
        return get_param_importances(
            self.study,
            evaluator=FanovaImportanceEvaluator(seed=0),
            target=(lambda trial: float(trial.values[0])) if several else None,
        )


def write_results(
    plan: SweepPlan, folder: SweepDirectory, study: optuna.Study, test: dict[str, Any] | None
) -> SweepResult:
    """Write the tables, the summary and ``best.toml``; what they were made from.

    Raises:
        DiskError: the disk is full or read-only.
        InputError: the folder cannot be written.
    """
    result = read_results(plan, folder, study, test)
    with writing("the results", folder.path, f"run metaray sweep --resume {folder.path}"):
        for path, table in (
            (folder.trials_table, trials_table(result)),
            (folder.curves_table, curves_table(result)),
        ):
            with atomic_path(path) as temporary:
                pq.write_table(table, temporary)
        if result.config is not None:
            lineage = result.best.lineage if result.best else ()
            write_best(plan.experiment, result.config, folder, lineage)
        write_json(folder.summary, summary(result))
    return result


def read_results(
    plan: SweepPlan, folder: SweepDirectory, study: optuna.Study, test: dict[str, Any] | None
) -> SweepResult:
    """The sweep as far as it came, from its study and the run directories of its trials."""
    frozen = [t for t in study.get_trials() if t.state != TrialState.WAITING]
    exploits = [t for found in studies.exploits(study).values() for t in found]
    records = [_record(plan, folder, trial) for trial in frozen]
    trials = _population(records, exploits) if plan.scheduler == "pbt" else records
    winner = studies.best(study)
    best = next((t for t in trials if winner and t.number == winner.number), None)
    return SweepResult(
        plan=plan,
        study=study,
        trials=trials,
        best=best,
        front=[t.number for t in study.best_trials] if len(plan.metrics) > 1 else [],
        test=test,
        num_tested=sum(RunDirectory(folder.trial(t.number)).summary.exists() for t in trials),
        config=_config(plan, folder, best.number) if best else None,
        versions=versions(),
        exploits=exploits,
    )


def summary(result: SweepResult) -> dict[str, Any]:
    """The sweep in a few figures, ready for JSON."""
    states = ("complete", "pruned", "failed", "unfinished")
    return {
        "metrics": list(result.plan.metrics),
        "trials": len(result.trials),
        **{state: len(result.having(state)) for state in states},
        "best_trial": result.best.number if result.best else None,
        "best_values": result.best.values if result.best else None,
        "best_metrics": result.best.metrics if result.best else None,
        "pareto_front": result.front,
        "test": result.test,
        "takeovers": [exploit.as_dict() for exploit in result.exploits],
        "versions": result.versions,
    }


def _config(plan: SweepPlan, folder: SweepDirectory, number: int) -> ExperimentConfig:
    config: ExperimentConfig = read_config(
        plan.experiment.config_class, RunDirectory(folder.trial(number)).config
    )
    return config


def _record(plan: SweepPlan, folder: SweepDirectory, trial: FrozenTrial) -> TrialRecord:
    run = RunDirectory(folder.trial(trial.number))
    outcome = TrialResult.read(run.path)
    metrics = outcome.metrics if outcome else {}
    rows = MetricsLog.read(run.metrics) if run.metrics.exists() else []
    step = studies.last_step(trial) or (rows[-1]["step"] if rows else 0)
    rows = [row for row in rows if row["step"] <= step]
    if not metrics and trial.intermediate_values:
        metrics = {plan.metrics[0]: trial.intermediate_values[max(trial.intermediate_values)]}
    name = plan.metrics[0]
    curve = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    if plan.scheduler == "pbt":  # its run directory has what it took over
        curve = sorted(trial.intermediate_values.items())
    return TrialRecord(
        number=trial.number,
        state=_STATES[trial.state],
        values=trial.params,
        metrics=metrics,
        step=step,
        reason=studies.failure(trial),
        duration_s=rows[-1]["wall_s"] if rows else None,
        curve=curve,
    )


def _population(trials: list[TrialRecord], exploits: list[Exploit]) -> list[TrialRecord]:
    """``trials``, which know the rates that they began with, with what they took over."""
    start: dict[int, Rates] = {trial.number: trial.values for trial in trials}
    last = {exploit.trial: exploit.rates for exploit in exploits}
    return [
        replace(
            trial,
            values={**trial.values, **last.get(trial.number, {})},
            lineage=lineage(trial.number, start, exploits),
        )
        for trial in trials
    ]


def trials_table(result: SweepResult) -> pa.Table:
    """A row for each trial: its state, its metrics, and its searched settings."""
    keys = sorted({key for trial in result.trials for key in trial.values})
    columns: dict[str, list[Any]] = {
        "trial": [trial.number for trial in result.trials],
        "state": [trial.state for trial in result.trials],
        "step": [trial.step for trial in result.trials],
        **{name: [t.metrics.get(name) for t in result.trials] for name in result.plan.metrics},
        "duration_s": [trial.duration_s for trial in result.trials],
        "reason": [trial.reason for trial in result.trials],
        **{key: [trial.values.get(key) for trial in result.trials] for key in keys},
    }
    return pa.table({name: _column(values) for name, values in columns.items()})


def curves_table(result: SweepResult) -> pa.Table:
    """A row for each validation of each trial."""
    curves = [(t.number, step, value) for t in result.trials for step, value in t.curve]
    return pa.table(
        {
            "trial": pa.array([c[0] for c in curves], pa.int64()),
            "step": pa.array([c[1] for c in curves], pa.int64()),
            result.plan.metrics[0]: pa.array([c[2] for c in curves], pa.float64()),
        }
    )


def _column(values: list[Any]) -> pa.Array:
    """Mixed options of a choice become text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds - {int, float}) > 0 and len(kinds) > 1:
        return pa.array([None if value is None else str(value) for value in values])
    return pa.array(values, pa.float64() if float in kinds else None)
