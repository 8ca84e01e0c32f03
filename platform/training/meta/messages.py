"""What crosses between loop, workers and learner: small integers out, one flat array back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metaray.algorithms.episode_shape import Split

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
    """Predict the queries of some episodes of a held-out split."""

    split: Split
    first_episode: int
    num_episodes: int

    @property
    def label(self) -> str:
        """For messages."""
        last = self.first_episode + self.num_episodes - 1
        return f"{self.split} episodes {self.first_episode} to {last}"


Order = TrainRequest | EvaluateRequest


class GpuMemory(NamedTuple):
    """Of one GPU, in use by all programs."""

    used_bytes: int
    total_bytes: int


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What the loop is told about a shard, whose payload it does not fetch."""

    num_tasks: int
    finite: bool
    figures: dict[str, float]
    """sums over the tasks: loss, accuracy"""
    sample_s: float
    compute_s: float
    gpu: GpuMemory | None = None
    """of a worker that computes on one, after a shard of training"""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The payload of an EvaluateOrder."""

    outputs: npt.NDArray[np.floating]  # [E, S, Q, N]
    labels: npt.NDArray[np.generic]  # [E, Q] or [E, Q, 1]


@dataclass(frozen=True, kw_only=True)
class UpdateReport:
    """What the learner says of an outer step."""

    grad_norm: float
    meta_lr: float
    update_s: float


def gpu_figures(memories: Iterable[GpuMemory | None]) -> dict[str, float]:
    """Those of the fullest GPU, as a row of metrics has them; nothing where none is used."""
    on_gpu = [memory for memory in memories if memory is not None]
    if not on_gpu:
        return {}
    used, total = max(on_gpu, key=lambda memory: memory.used_bytes / memory.total_bytes)
    return {"gpu_memory_bytes": used, "gpu_memory_share": used / total}
