"""Turns an order into a result. Holds no training state, so any worker can redo any order."""

from __future__ import annotations

from contextlib import nullcontext
from time import perf_counter
from typing import Any

import numpy as np
import torch

from metaray.algorithms.algorithm import State
from metaray.algorithms.batching import batched_predictions, batched_task_gradients
from metaray.algorithms.episode import Episode
from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, Split, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.method_section import BatchTrained
from metaray.algorithms.tasks.catalog import build_source
from metaray.platform.common.malloc_tuning import keep_freed_memory
from metaray.platform.config.schema import ComputeConfig, RunConfig
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import (
    EvaluateRequest,
    FlatState,
    GpuMemory,
    Order,
    Predictions,
    ShardReport,
    TrainRequest,
)


class TaskWorker:
    """Samples the tasks of an order and computes on them.

    Pins the CPU threads of its process: their number changes the order of floating-point sums.
    """

    def __init__(self, config: RunConfig) -> None:
        keep_freed_memory()
        torch.set_num_threads(config.workers.threads)
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        self.config = config
        self.source = build_source(config.data)
        self.blueprint = Blueprint(config, self.source)
        self.device = choose_device(config.workers)

    def run(self, order: Order, state: FlatState) -> tuple[Any, ShardReport]:
        """The payload of ``order`` at ``state``, and a report.

        A train order's payload is ``[P + B]``: summed gradients, then summed buffers. An evaluate
        order's is ``Predictions``.
        """
        at = self._state(state)
        with self._autocast():
            if isinstance(order, TrainRequest):
                return self._train(order, at)
            return self._evaluate(order, at)

    def _train(self, order: TrainRequest, state: State) -> tuple[FlatState, ShardReport]:
        started = perf_counter()
        episodes = self._training_tasks(order)
        sampled = perf_counter()
        progress = order.step / self.config.train.outer_steps
        result = batched_task_gradients(
            self.blueprint.algorithm, state, episodes, self.config.task.train_ways, progress
        )
        flat = self.blueprint.flatten(State(result.gradient, result.buffers)).sum(0)
        total = flat.detach().to("cpu", self.blueprint.dtype).numpy()
        figures = {name: float(value.sum()) for name, value in result.figures.items()}
        return total, ShardReport(
            num_tasks=order.num_tasks,
            finite=bool(np.isfinite(total).all()) and bool(np.isfinite(figures["loss"])),
            figures=figures,
            sample_s=sampled - started,
            compute_s=perf_counter() - sampled,
            gpu=gpu_memory(self.device),
        )

    def _evaluate(self, order: EvaluateRequest, state: State) -> tuple[Predictions, ShardReport]:
        started = perf_counter()
        shape = self.config.test_shape
        episodes = self._sample(order.split, order.first_episode, order.num_episodes, shape)
        sampled = perf_counter()
        outputs = batched_predictions(
            self.blueprint.algorithm, state, episodes, shape.ways, self.config.evaluate.batch_norm
        )
        array = outputs.detach().to("cpu", self.blueprint.dtype).numpy()
        return Predictions(outputs=array, labels=episodes.query_y.cpu().numpy()), ShardReport(
            num_tasks=order.num_episodes,
            finite=bool(np.isfinite(array).all()),
            figures={},
            sample_s=sampled - started,
            compute_s=perf_counter() - sampled,
        )

    def _training_tasks(self, order: TrainRequest) -> Episode:
        config, seed = self.config, self.config.seed
        if not isinstance(config.method, BatchTrained):
            return self._sample("train", order.first_task, order.num_tasks, config.train_shape)
        batches = [
            BatchSpec(split="train", index=index, seed=seed, size=config.method.batch_size)
            for index in range(order.first_task, order.first_task + order.num_tasks)
        ]
        return self._stacked([self.source.sample_batch(spec) for spec in batches])

    def _sample(self, split: Split, first: int, count: int, shape: EpisodeShape) -> Episode:
        specs = [
            TaskSpec(split=split, index=index, seed=self.config.seed, shape=shape)
            for index in range(first, first + count)
        ]
        return self._stacked([self.source.sample(spec) for spec in specs])

    def _stacked(self, episodes: list[Episode]) -> Episode:
        return Episode.stack(episodes).to(self.device, self.blueprint.dtype)

    def _state(self, flat: FlatState) -> State:
        # a copy: arrays from Ray's object store are shared between processes, and torch writes
        return self.blueprint.unflatten(torch.from_numpy(np.array(flat)).to(self.device))

    def _autocast(self) -> Any:
        if self.config.workers.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


def gpu_memory(device: torch.device) -> GpuMemory | None:
    """What is in use of a CUDA device; None for any other."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return GpuMemory(total - free, total)


def choose_device(workers: ComputeConfig) -> torch.device:
    """The device of a worker; ``auto`` is a GPU where one is reserved, or in process where one is.

    Raises:
        InputError: the device is not there.
    """
    name = workers.device
    if name == "auto":
        wanted = workers.gpus > 0 or workers.count == 0
        name = "cuda" if wanted and torch.cuda.is_available() else "cpu"
        if workers.gpus > 0 and name == "cpu":
            raise InputError(
                "workers.gpus reserves a GPU, but torch finds none: set workers.gpus=0"
            )
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"workers.device = {name!r}, but torch finds no CUDA device: use cpu or auto"
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise InputError("workers.device = 'mps', but torch finds no Apple GPU: use cpu or auto")
    return torch.device(name)
