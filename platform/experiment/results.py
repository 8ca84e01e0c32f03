"""From a meta-test to the files that hold its result."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel

from metaray.algorithms.atomic import atomic_path, write_json
from metaray.algorithms.tasks.registry import DATA_SETS
from metaray.platform.common.versions import versions
from metaray.platform.config.schema import RunConfig
from metaray.platform.run.checkpoint import Checkpoint, params_sha256
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.metrics import MetaTest


def summarize(
    blueprint: Blueprint,
    last: Checkpoint,
    tested_step: int,
    test: MetaTest,
    baseline: MetaTest,
    rows: Sequence[dict[str, Any]],
    trained_on: RunConfig,
) -> dict[str, Any]:
    """The content of ``summary.json``.

    Args:
        blueprint: of the run.
        last: the checkpoint at the end of training.
        tested_step: the outer step whose parameters were tested.
        test: of those parameters.
        baseline: of the untrained network, on the same episodes.
        rows: of ``metrics.jsonl``.
        trained_on: the config of the training, whose data set may be another.
    """
    config = blueprint.config
    figures = test.headline()
    method = config.method
    return {
        "method": method.name,
        "dataset": config.data.name,
        "trained_on": trained_on.data.name,
        "data_settings": _data_settings(config, trained_on),
        "split": config.data.split if config.data.name != "sinusoid" else None,
        "ways": config.task.ways,
        "shots": config.task.shots,
        "queries": config.task.queries,
        **figures,
        "batch_norm": config.evaluate.batch_norm,
        **baseline.baseline_headline(),
        "inner_steps": getattr(method, "inner_steps", None),
        "eval_inner_steps": getattr(method, "eval_inner_steps", None),
        "outer_steps": last.step,
        "tested_step": tested_step,
        "checkpoint": config.evaluate.checkpoint,
        "val_accuracy": last.best_score if figures["accuracy"] is not None else None,
        "tasks_per_s": _rate(rows),
        "wall_s": last.wall_s,
        "workers": config.workers.count,
        "num_parameters": blueprint.layouts[0].size,
        "params_sha256": params_sha256(last),
    }


def write_results(
    run: RunDirectory,
    config: RunConfig,
    summary: dict[str, Any],
    test: MetaTest,
    baseline: MetaTest,
) -> Path:
    """Keep this meta-test in a numbered folder, and put it at the top of the run as the latest."""
    taken = [int(p.name) for p in run.evaluations.iterdir() if p.name.isdigit()]
    folder = run.evaluations / f"{max(taken, default=0) + 1:03d}"
    folder.mkdir()
    table = test.to_table(baseline)
    with atomic_path(folder / run.episodes.name) as temporary:
        pq.write_table(table, temporary)
    write_config(folder / run.config.name, config)
    write_json(folder / run.summary.name, summary)
    for target in (run.episodes, run.summary):
        with atomic_path(target) as temporary:
            shutil.copyfile(folder / target.name, temporary)
    return folder


def write_config(path: Path, config: BaseModel) -> None:
    """The resolved settings with versions, from which the run can be repeated."""
    write_json(path, config.model_dump() | {"versions": versions()})


def _data_settings(tested: RunConfig, trained: RunConfig) -> dict[str, Any] | None:
    """What was set for a test on another data set, or None where it is that of the training."""
    if tested.data == trained.data:
        return None
    default = DATA_SETS.validate({"name": tested.data.name}).model_dump()
    settings = tested.data.model_dump(exclude={"name", "cache", "channels", "image_size"})
    own = {f"data.{key}": value for key, value in settings.items() if value != default[key]}
    return {"data.name": tested.data.name} | own


def _rate(rows: Sequence[dict[str, Any]]) -> float | None:
    """Training tasks a second over the whole run, or None without any step."""
    seconds = sum(row["step_s"] for row in rows)
    return sum(row["tasks"] for row in rows) / seconds if seconds else None
