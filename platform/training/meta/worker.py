"""Turns a request into a result. Holds no training state, so any worker can redo any request."""

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
from metaray.algorithms.methods.method_section import BatchTrained
from metaray.platform.training.device import choose_device, gpu_memory, prepare_process
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import (
    EvaluateRequest,
    FlatState,
    Predictions,
    ShardReport,
    ShardRequest,
    TrainRequest,
)


class TaskWorker:
    """Samples the tasks of a request and computes on them.

    Pins the CPU threads of its process: their number changes the order of floating-point sums.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        self.config = blueprint.config
        prepare_process(self.config.workers)
        self.source = blueprint.source
        self.blueprint = blueprint
        self.device = choose_device(self.config.workers)

    def run(self, request: ShardRequest, state: FlatState) -> tuple[Any, ShardReport]:
        """The payload of ``request`` at ``state``, and a report.

        A train request's payload is ``[P + B]``: summed gradients, then summed buffers. An evaluate
        request's is ``Predictions``.
        """
        at = self._state(state)
        with self._autocast():
            if isinstance(request, TrainRequest):
                return self._train(request, at)
            return self._evaluate(request, at)

    def _train(self, request: TrainRequest, state: State) -> tuple[FlatState, ShardReport]:
        started = perf_counter()
        episodes = self._training_tasks(request)
        sampled = perf_counter()
        progress = request.step / self.config.train.outer_steps
        result = batched_task_gradients(
            self.blueprint.algorithm, state, episodes, self.config.task.train_ways, progress
        )
        flat = self.blueprint.flatten(State(result.gradient, result.buffers)).sum(0)
        total = flat.detach().to("cpu", self.blueprint.dtype).numpy()
        metrics = {name: float(value.sum()) for name, value in result.metrics.items()}
        return total, ShardReport(
            num_tasks=request.num_tasks,
            finite=bool(np.isfinite(total).all()) and bool(np.isfinite(metrics["loss"])),
            metrics=metrics,
            sample_s=sampled - started,
            compute_s=perf_counter() - sampled,
            gpu=gpu_memory(self.device),
        )

    def _evaluate(self, request: EvaluateRequest, state: State) -> tuple[Predictions, ShardReport]:
        started = perf_counter()
        shape = self.config.test_shape
        episodes = self._sample(request.split, request.first_episode, request.num_episodes, shape)
        sampled = perf_counter()
        outputs = batched_predictions(
            self.blueprint.algorithm, state, episodes, shape.ways, self.config.evaluate.batch_norm
        )
        array = outputs.detach().to("cpu", self.blueprint.dtype).numpy()
        return Predictions(outputs=array, labels=episodes.query_y.cpu().numpy()), ShardReport(
            num_tasks=request.num_episodes,
            finite=bool(np.isfinite(array).all()),
            metrics={},
            sample_s=sampled - started,
            compute_s=perf_counter() - sampled,
        )

    def _training_tasks(self, request: TrainRequest) -> Episode:
        config, seed = self.config, self.config.seed
        if not isinstance(config.method, BatchTrained):
            return self._sample("train", request.first_task, request.num_tasks, config.train_shape)
        batches = [
            BatchSpec(split="train", index=index, seed=seed, size=config.method.batch_size)
            for index in range(request.first_task, request.first_task + request.num_tasks)
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
