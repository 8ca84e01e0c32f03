"""A job in miniature, small networks, and data on which an objective can show what it learns."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.models.conv4 import Conv4
from metaray.algorithms.models.mlp import MLP
from metaray.algorithms.models.norm import running_statistics
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.objective import NOTHING, Networks, Objective, Shard, Start

SHAPE = (1, 8, 8)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def double(tensors: Tensors) -> Tensors:
    return {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}


def state_of(objective: Objective, seed: int = 0, start: Start = NOTHING) -> State:
    state = objective.init(seed, start)
    return State(double(state.params), double(state.buffers))


def conv4(norm: str = "group", width: int = 4, reduce: str = "map") -> Conv4:
    return Conv4(SHAPE, width, reduce, norm)  # type: ignore[arg-type]


def networks(norm: str = "group", teacher: Conv4 | MLP | None = None, classes: int = 3) -> Networks:
    return Networks(conv4(norm), SHAPE, classes, teacher)


def teacher_state(teacher: Conv4 | MLP, classes: int | None = None, seed: int = 7) -> State:
    """A network drawn at random, with a linear head where it knows classes."""
    params, stats = teacher.init(torch.Generator().manual_seed(seed))
    if classes is not None:
        params |= {
            "head.weight": noise(classes, teacher.feature_dim, seed=seed).float(),
            "head.bias": torch.zeros(classes),
        }
    return State(double(params), double(stats))


class Batch(NamedTuple):
    """The views of a step."""

    images: tuple[Tensor, ...]
    labels: tuple[Tensor | None, ...]


def batch_for(objective: Objective, size: int = 6, seed: int = 0, classes: int = 3) -> Batch:
    """Random images; two views of a domain hold other noise, as augmentation would give."""
    images = tuple(noise(size, *SHAPE, seed=seed + i) for i in range(len(objective.views)))
    y = torch.arange(size) % classes
    return Batch(images, tuple(y if view.labelled else None for view in objective.views))


class Step(NamedTuple):
    loss: Tensor
    gradient: Tensors
    batch_stats: Tensors
    outputs: Tensors
    metrics: Tensors


def gradient_of(
    objective: Objective,
    state: State,
    batch: Batch,
    shards: int = 1,
    progress: float = 0.5,
    order: Tensor | None = None,
) -> Step:
    """What a job computes between ``begin_step`` and the optimizer, shard after shard."""
    size = len(batch.images[0])
    order = torch.arange(size) if order is None else order
    params = {name: p.clone().requires_grad_() for name, p in state.params.items()}
    leaf = State(params, state.buffers)
    cuts = [round(i * size / shards) for i in range(shards + 1)]
    loss, done, metrics = torch.zeros(()), list[tuple[float, Tensors, Tensors]](), Tensors()
    for number, (low, high) in enumerate(pairwise(cuts)):
        images = tuple(
            x[order[low:high]] if view.shuffled else x[low:high]
            for view, x in zip(objective.views, batch.images, strict=True)
        )
        labels = tuple(None if y is None else y[low:high] for y in batch.labels)
        shard = Shard(images, labels, order[low:high], torch.tensor(number))
        result = objective.forward(leaf, shard, progress)
        share = (high - low) / size
        done.append((share, result.outputs, result.batch_stats))
        if not objective.couples_batch:
            part, metrics = objective.loss(leaf, result.outputs, labels, progress)
            loss = loss + share * part
    outputs = {name: torch.cat([out[name] for _, out, _ in done]) for name in done[0][1]}
    if objective.couples_batch:
        loss, metrics = objective.loss(leaf, outputs, batch.labels, progress)
    slopes = torch.autograd.grad(
        loss, list(params.values()), allow_unused=True, materialize_grads=True
    )
    batch_stats = {
        name: torch.stack([share * stats[name] for share, _, stats in done]).sum(0).detach()
        for name in done[0][2]
    }
    return Step(
        loss.detach(),
        dict(zip(params, slopes, strict=True)),
        batch_stats,
        {name: tensor.detach() for name, tensor in outputs.items()},
        metrics,
    )


def sgd_step(
    objective: Objective,
    state: State,
    batch: Batch,
    lr: float,
    shards: int = 1,
    progress: float = 0.5,
    order: Tensor | None = None,
) -> tuple[State, Step]:
    state = objective.begin_step(state)
    step = gradient_of(objective, state, batch, shards, progress, order)
    params = {name: p - lr * step.gradient[name] for name, p in state.params.items()}
    old = {name: state.buffers[name] for name in step.batch_stats}
    moved = State(params, state.buffers | running_statistics(old, step.batch_stats))
    outputs = step.outputs if objective.couples_batch else {}
    return State(params, objective.end_step(moved, outputs)), step


def train(
    objective: Objective,
    batches: Callable[[int], Batch],
    steps: int,
    lr: float,
    start: Start = NOTHING,
) -> State:
    """Plain SGD. ``batches`` gives the batch of a step."""
    state = state_of(objective, start=start)
    for step in range(steps):
        state, _ = sgd_step(objective, state, batches(step), lr, progress=step / steps)
    return state


def augmented(images: Tensor, objective: Objective, step: int) -> Batch:
    """The views of unlabelled ``images`` that ``objective`` draws."""
    generator = torch.Generator().manual_seed(step)
    views = []
    for view in objective.views:
        assert view.transform is not None
        views.append(torch.stack([view.transform(x, generator) for x in images]))
    return Batch(tuple(views), (None,) * len(views))


def numeric_gradient(f: Callable[[Tensor], Tensor], x: Tensor, step: float = 1e-6) -> Tensor:
    """Central differences of a scalar function at each number of ``x``."""
    slope = torch.empty_like(x)
    for i in range(x.numel()):
        shift = torch.zeros_like(x).flatten()
        shift[i] = step
        shift = shift.view_as(x)
        slope.view(-1)[i] = (f(x + shift) - f(x - shift)) / (2 * step)
    return slope
