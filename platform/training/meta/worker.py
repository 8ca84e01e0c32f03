"""Turns a request into a result. Holds no training state, so any worker can redo any request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.batching import batched_predictions, batched_task_gradients
from metaray.algorithms.episode import Episode, num_classes, with_fewer_classes
from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, Split, TaskSpec
from metaray.algorithms.methods.method_section import BatchTrained
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.tasks.device_images import DeviceImages, Rows, images_on
from metaray.platform.training.cuda_graph import Computation, CudaGraphs
from metaray.platform.training.device import autocast, choose_device, gpu_memory, prepare_process
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import (
    EvaluateRequest,
    FlatState,
    Predictions,
    ShardReport,
    ShardRequest,
    TrainRequest,
)

Tasks = Callable[[], Episode]
"""Tasks whose random choices are made: called, it puts them on the device."""


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
        self._images = images_on(self.device, self.source)
        self._ahead: dict[TrainRequest, Tasks] = {}
        records = self.device.type == "cuda" and self.config.workers.cuda_graphs
        self._graphs = CudaGraphs() if records else None

    def run(
        self, request: ShardRequest, state: FlatState, then: TrainRequest | None = None
    ) -> tuple[Any, ShardReport]:
        """The payload of ``request`` at ``state``, and a report.

        The tasks of ``then``, which comes next, are sampled while a GPU computes those of a train
        request.

        A train request's payload is ``[P + B]``: summed gradients, then summed buffers. An evaluate
        request's is ``Predictions``.
        """
        # a copy: arrays from Ray's object store are shared between processes, and torch writes
        at = torch.from_numpy(np.array(state)).to(self.device)
        if isinstance(request, TrainRequest):
            return self._train(request, at, then)
        return self._evaluate(request, at)

    def _train(
        self, request: TrainRequest, at: Tensor, then: TrainRequest | None
    ) -> tuple[FlatState, ShardReport]:
        started = perf_counter()
        ahead = self._ahead.pop(request, None)
        episodes = (ahead or self.training_tasks(request))()
        sampled = perf_counter()
        progress = request.step / self.config.train.outer_steps
        shape = self.config.train_shape
        ways = num_classes(episodes) if shape.has_own_ways else shape.ways

        def summed(state: Tensor, *episode: Tensor) -> tuple[Tensor, Tensors]:
            result = batched_task_gradients(
                self.blueprint.algorithm,
                self.blueprint.unflatten(state),
                Episode(*episode),
                ways,
                progress,
            )
            flat = self.blueprint.flatten(State(result.gradient, result.buffers)).sum(0)
            return flat.detach(), {name: value.sum() for name, value in result.metrics.items()}

        phase = self.config.method.phase(progress)
        # a graph is of one shape
        name = None if phase is None or shape.varying else f"train {phase}"
        flat, sums = self._computed(name, summed, at, *episodes)
        if then is not None and self.device.type == "cuda":  # which has only begun
            self._ahead = {then: self.training_tasks(then)}
        total = flat.to("cpu", self.blueprint.dtype).numpy()
        metrics = {name: float(value) for name, value in sums.items()}
        return total, ShardReport(
            num_tasks=request.num_tasks,
            finite=bool(np.isfinite(total).all()) and bool(np.isfinite(metrics["loss"])),
            metrics=metrics,
            sample_s=sampled - started,
            compute_s=perf_counter() - sampled,
            gpu=gpu_memory(self.device),
        )

    def _evaluate(self, request: EvaluateRequest, at: Tensor) -> tuple[Predictions, ShardReport]:
        started = perf_counter()
        shape = self.config.test_shape
        ways = request.ways or shape.ways
        shape = replace(shape, ways=ways + (request.unknown_ways or 0))
        tasks = self._sample(request.split, request.first_episode, request.num_episodes, shape)
        episodes = tasks()
        if request.unknown_ways is not None:
            episodes = with_fewer_classes(episodes, ways)
        if shape.has_own_ways:
            ways = num_classes(episodes)
        sampled = perf_counter()
        batch_norm = request.batch_norm or self.config.evaluate.batch_norm

        def predicted(state: Tensor, *episode: Tensor) -> Tensor:
            return batched_predictions(
                self.blueprint.algorithm,
                self.blueprint.unflatten(state),
                Episode(*episode),
                ways,
                batch_norm,
            ).detach()

        # a name for each graph that may be recorded
        fixed = f"{request.split} {batch_norm} {ways} {request.unknown_ways}"
        name = None if shape.varying else fixed
        outputs = self._computed(name, predicted, at, *episodes)
        array = outputs.to("cpu", self.blueprint.dtype).numpy()
        shots = None
        if shape.varying is not None:
            support = episodes.support_y.cpu().numpy()
            shots = np.stack([np.bincount(y, minlength=ways) for y in support])
        found = Predictions(outputs=array, labels=episodes.query_y.cpu().numpy(), shots=shots)
        return found, ShardReport(
            num_tasks=request.num_episodes,
            finite=bool(np.isfinite(array).all()),
            metrics={},
            sample_s=sampled - started,
            compute_s=perf_counter() - sampled,
        )

    def training_tasks(self, request: TrainRequest) -> Tasks:
        """Those of ``request``: T tasks, or T mini-batches."""
        config, seed = self.config, self.config.seed
        if not isinstance(config.method, BatchTrained):
            return self._sample("train", request.first_task, request.num_tasks, config.train_shape)
        batches = [
            BatchSpec(split="train", index=index, seed=seed, size=config.method.batch_size)
            for index in range(request.first_task, request.first_task + request.num_tasks)
        ]
        if self._images is not None:
            return self._gathered(self._images, self._images.batch_rows(batches))
        return self._placed(Episode.stack([self.source.sample_batch(spec) for spec in batches]))

    def _sample(self, split: Split, first: int, count: int, shape: EpisodeShape) -> Tasks:
        specs = [
            TaskSpec(
                split=split,
                index=index,
                seed=self.config.seed,
                shape=shape,
                shape_index=first if split == "train" else None,
            )
            for index in range(first, first + count)
        ]
        if self._images is not None and not shape.unlabelled:  # copies are changed by the CPU
            return self._gathered(self._images, self._images.rows(specs))
        return self._placed(Episode.stack([self.source.sample(spec) for spec in specs]))

    def _gathered(self, images: DeviceImages, rows: Rows) -> Tasks:
        return lambda: images.episodes(rows).to(self.device, self.blueprint.dtype)

    def _placed(self, episodes: Episode) -> Tasks:
        return lambda: episodes.to(self.device, self.blueprint.dtype)

    def _computed(self, name: str | None, compute: Computation, *inputs: Tensor) -> Any:
        """``compute`` at ``inputs``, by the graph of that ``name``; None: by calls."""

        def under_autocast(*given: Tensor) -> Any:
            with autocast(self.config.workers, self.device):
                return compute(*given)

        if self._graphs is None or name is None:
            return under_autocast(*inputs)
        return self._graphs(name, under_autocast, *inputs)
