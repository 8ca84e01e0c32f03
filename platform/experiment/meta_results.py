"""The summary of a meta-test, and the files that hold its result."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from metaray.algorithms.atomic import atomic_path, write_json
from metaray.algorithms.tasks.registry import DATA_SETS
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta_executor import MetaResult
from metaray.platform.experiment.results import of_training, rate, write_config
from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.run.directory import RunDirectory, numbered
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.episode_source import test_rotations
from metaray.platform.training.meta.shape_results import shape_results


def summarize(
    blueprint: Blueprint,
    last: Checkpoint,
    result: MetaResult,
    rows: Sequence[dict[str, Any]],
    trained_on: RunConfig,
) -> dict[str, Any]:
    """The content of ``summary.json``.

    Args:
        blueprint: of the run.
        last: the checkpoint at the end of training.
        result: the meta-test.
        rows: of ``metrics.jsonl``.
        trained_on: the config of the training, whose data set may be another.
    """
    config = blueprint.config
    metrics = result.test.headline()
    method, shape = config.method, config.test_shape
    return {
        "method": method.name,
        "dataset": config.data.name,
        "trained_on": trained_on.data.name,
        "data_settings": _data_settings(config, trained_on),
        "split": config.data.split if config.data.is_divided else None,
        "sampler": config.task.sampler,
        "ways": None if shape.has_own_ways else config.task.ways,
        "shots": None if shape.varying is not None else config.task.shots,
        "queries": config.task.queries,
        "within_group": config.task.within_group,
        "test_rotations": test_rotations(blueprint.source),
        **metrics,
        **shape_results(result.test, in_sequence=config.task.sampler == "sequence"),
        "batch_norm": config.evaluate.batch_norm,
        "transductive": method.transductive and config.evaluate.batch_norm == "transductive",
        **result.baseline.baseline_headline(),
        "inner_steps": getattr(method, "inner_steps", None),
        "eval_inner_steps": getattr(method, "eval_inner_steps", None),
        "outer_steps": last.step,
        "tested_step": result.step,
        "val_accuracy": last.best_score if metrics["accuracy"] is not None else None,
        "tasks_per_s": rate(rows, "tasks"),
        **of_training(config, last, blueprint.layouts[0].size),
    }


def write_meta_test(
    run: RunDirectory, config: RunConfig, summary: dict[str, Any], result: MetaResult
) -> Path:
    """Keep this meta-test in a numbered folder, and put it at the top of the run as the latest."""
    folder = next_folder(run.evaluations)
    folder.mkdir(parents=True)
    table = result.test.to_table(result.baseline)
    with atomic_path(folder / run.episodes.name) as temporary:
        pq.write_table(table, temporary)
    write_config(folder / run.config.name, config)
    write_json(folder / run.summary.name, summary)
    for target in (run.episodes, run.summary):
        with atomic_path(target) as temporary:
            shutil.copyfile(folder / target.name, temporary)
    return folder


def next_folder(evaluations: Path) -> Path:
    """Above the numbers that are taken, by anything that has such a name."""
    number = max((number for number, _ in numbered(evaluations)), default=0) + 1
    while (folder := evaluations / f"{number:03d}").exists():
        number += 1
    return folder


def _data_settings(tested: RunConfig, trained: RunConfig) -> dict[str, Any] | None:
    """What was set for a test on another data set, or None where it is that of the training."""
    if tested.data == trained.data:
        return None
    default = DATA_SETS.validate({"name": tested.data.name}).model_dump()
    settings = tested.data.model_dump(exclude={"name", "cache", "channels", "image_size"})
    own = {f"data.{key}": value for key, value in settings.items() if value != default[key]}
    return {"data.name": tested.data.name} | own
