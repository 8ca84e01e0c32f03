"""How long meta-trained parameters take to adapt: the metric ``adapt_s``."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import torch

from metaray.algorithms.algorithm import State
from metaray.algorithms.batching import batched_predictions
from metaray.algorithms.episode import Episode
from metaray.algorithms.episode_shape import TaskSpec
from metaray.platform.experiment.meta import Session

_TIMED_EPISODES = 20


def adaptation_time(session: Session, state: Any) -> float:
    """Seconds to adapt to one validation episode and predict its queries, the median of some."""
    config, blueprint = session.config, session.blueprint
    at: State = blueprint.unflatten(torch.from_numpy(state))
    before = torch.get_num_threads()
    torch.set_num_threads(config.workers.threads)
    times = []
    for index in range(_TIMED_EPISODES):
        spec = TaskSpec(split="val", index=index, seed=config.seed, shape=config.test_shape)
        episode = Episode.stack([session.source.sample(spec)]).to(
            torch.device("cpu"), blueprint.dtype
        )
        started = perf_counter()
        batched_predictions(
            blueprint.algorithm, at, episode, config.task.ways, config.evaluate.batch_norm
        )
        times.append(perf_counter() - started)
    torch.set_num_threads(before)
    return median(times)
