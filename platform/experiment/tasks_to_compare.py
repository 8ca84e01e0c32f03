"""Tasks of the data of a run, on which exported files are compared with its model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from metaray.algorithms.episode_shape import TaskSpec
from metaray.platform.config.meta import RunConfig
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.inference.export import Task
from metaray.platform.training.meta.episode_source import open_source
from metaray.platform.training.transfer.blueprint import Domains

_MOST = 5  # shots and queries of a class


def meta_tasks(config: RunConfig) -> list[Task]:
    """Two episodes of the validation classes, of different shapes.

    Raises:
        InputError: the data is not there any more.
    """
    source = open_source(config)
    shape = replace(config.test_shape, ways=config.test_shape.fewest_ways, varying=None)
    small = replace(shape, shots=min(shape.shots, _MOST), queries=min(shape.queries, _MOST))
    fewer = replace(small, ways=max(2, shape.ways - 1), queries=1)
    tasks = []
    for index, one in enumerate((small, fewer)):
        episode = source.sample(TaskSpec(split="val", index=index, seed=config.seed, shape=one))
        tasks.append(
            Task(support_x=episode.support_x, support_y=episode.support_y, query_x=episode.query_x)
        )
    return tasks


def transfer_tasks(config: TransferConfig) -> list[Task]:
    """Two tasks of validation images; InputError as of ``meta_tasks``."""
    source = Domains.open(config).source
    labels = source.labels("train")
    tasks = []
    for classes, shots in ((np.unique(labels)[:5], 2), (np.unique(labels)[:2], 3)):
        rows = [np.flatnonzero(labels == c)[: 2 * shots] for c in classes]
        support = np.concatenate([one[:shots] for one in rows])
        query = np.concatenate([one[shots:] for one in rows])
        y = [number for number, one in enumerate(rows) for _ in one[:shots]]
        tasks.append(
            Task(
                support_x=source.images("train", support),
                support_y=torch.tensor(y),
                query_x=source.images("train", query),
            )
        )
    return tasks
