"""What crosses between loop, workers and learner: small integers out, one flat array back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode_shape import Split
from metaray.platform.config.meta import TrainConfig
from metaray.platform.training.device import GpuMemory

FlatState = npt.NDArray[np.floating]
"""Parameters, then buffers, as one vector ``[P + B]``."""


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """Compute the summed gradient of some training tasks. Any worker can, any number of times."""

    step: int
    shard: int
    first_task: int
    num_tasks: int

    @property
    def label(self) -> str:
        """For messages."""
        last = self.first_task + self.num_tasks - 1
        return f"step {self.step}, shard {self.shard} (tasks {self.first_task} to {last})"


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """Predict the queries of some episodes of a held-out split: of one where shapes vary."""

    split: Split
    first_episode: int
    num_episodes: int
    batch_norm: BatchNormMode | None = None
    """None: as the config says"""
    ways: int | None = None
    """classes of the support set; None: as the config says"""
    unknown_ways: int | None = None
    """further classes of the queries that the support set leaves out; they have the last labels.
    Unless None, the support images are predicted too, before the queries."""

    @property
    def label(self) -> str:
        """For messages."""
        last = self.first_episode + self.num_episodes - 1
        return f"{self.split} episodes {self.first_episode} to {last}"


ShardRequest = TrainRequest | EvaluateRequest


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What the loop is told about a shard, whose payload it does not fetch."""

    num_tasks: int
    finite: bool
    metrics: dict[str, float]
    """sums over the tasks: loss, accuracy"""
    sample_s: float
    compute_s: float
    gpu: GpuMemory | None = None
    """of a worker that computes on one, after a shard of training"""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The payload of an EvaluateRequest."""

    outputs: npt.NDArray[np.floating]  # [E, S, Q, N]
    labels: npt.NDArray[np.generic]  # [E, Q] or [E, Q, 1]
    shots: npt.NDArray[np.int64] | None = None
    """where shapes vary: the support examples of each class, ``[E, N]``"""


@dataclass(frozen=True, kw_only=True)
class UpdateReport:
    """What the learner says of an outer step."""

    grad_norm: float
    meta_lr: float
    update_s: float


def train_requests(step: int, train: TrainConfig) -> list[TrainRequest]:
    """The shards of one outer step: fixed by the config, not by the number of workers."""
    first = step * train.meta_batch_size
    return [
        TrainRequest(
            step=step,
            shard=shard,
            first_task=first + offset,
            num_tasks=min(train.shard_size, train.meta_batch_size - offset),
        )
        for shard, offset in enumerate(range(0, train.meta_batch_size, train.shard_size))
    ]
