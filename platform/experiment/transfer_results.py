"""From what training left in the run directory to its summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metaray.algorithms.atomic import write_json
from metaray.algorithms.reading import read_object
from metaray.platform.experiment.results import of_training, rate
from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.run.provenance import DataRecord
from metaray.platform.training.transfer.blueprint import Plan, TransferBlueprint

_OF_REFERENCE = (
    *("job", "training", "accuracy", "interval", "ci95", "steps", "wall_s", "params_sha256"),
)


def write_summary(
    run: RunDirectory,
    plan: Plan,
    blueprint: TransferBlueprint,
    last: Checkpoint,
    references: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Write and return the content of ``summary.json``.

    Accuracies have Wilson's 95 % interval over the test images, whose half-width is ``ci95``.
    """
    config, record = plan.config, DataRecord.read(run)
    test, before = (_read(run, name) for name in ("test", "before"))
    rows = MetricsLog.read(run.metrics)
    use_best = config.evaluate.checkpoint == "best" and last.best_step is not None
    summary = {
        "job": config.job.name,
        "dataset": config.data.name,
        "target": None if config.target is None else config.target.name,
        "tests_target": config.tests_target,
        "labels_per_class": config.data.labels_per_class,
        "pictures": record.source.images,
        "num_classes": len(record.source.classes),
        **test,
        "before": before,
        "references": {
            name: {key: found[key] for key in _OF_REFERENCE} for name, found in references.items()
        },
        "init": record.init,
        "steps": last.step,
        "planned_steps": blueprint.steps,
        "tested_step": last.best_step if use_best else last.step,
        "val_accuracy": last.best_score,
        "examples_per_s": rate(rows, "examples"),
        **of_training(config, last, plan.param_layout.size),
        **blueprint.objective.describe(),
    }
    write_json(run.summary, summary)
    return summary


def _read(run: RunDirectory, name: str) -> dict[str, Any]:
    path = run.evaluations / f"{name}.json"
    return read_object(
        path, f"{path} is not the result of a test", "delete it and continue with --resume"
    )
