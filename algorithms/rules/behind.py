"""Losses that look at features alone: the network by rules, what is behind it by ``torch.func``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.func import grad, vmap

from metaray.algorithms.algorithm import State, TaskGradient
from metaray.algorithms.episode import Episode
from metaray.algorithms.models.norm import running_statistics
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.network import Network, joined, parts_of

FeatureLoss = Callable[..., tuple[Tensor, tuple[Tensors, Tensors]]]
"""Parameters behind the network, features ``[B, F]`` and the tensors of an episode to a loss, with
its metrics and the normalisation statistics of what is behind the network."""


def gradients_behind(
    body: Network, state: State, x: Tensor, episodes: Episode, loss: FeatureLoss
) -> TaskGradient:
    """What T tasks contribute to an outer step, whose networks all have the same parameters.

    Args:
        body: to features.
        state: its parameters and what is behind it; its running statistics.
        x: all inputs of a task as one batch, ``[T, B, ...]``.
        episodes: for ``loss``.
        loss: of one task.
    """
    own = {name: p for name, p in state.params.items() if name not in body.names}
    shared = {name: p for name, p in state.params.items() if name in body.names}
    differentiated: Any = grad(loss, argnums=(0, 1), has_aux=True)
    slope = vmap(differentiated, in_dims=(None, 0, *(0 for _ in episodes)))
    gradients, buffers, measured = [], [], []
    for part in parts_of(x):
        params = body.pack(shared, len(x[part]))
        features, trace = body.forward(params, body.prepare(x[part]))
        tasks = (tensor[part] for tensor in episodes)
        (of_own, of_features), (metrics, own_stats) = slope(own, features, *tasks)
        gradients.append(of_own | body.unpack(body.backward(trace, of_features)[1]))
        buffers.append(running_statistics(state.buffers, body.statistics(trace) | own_stats))
        measured.append(metrics)
    gradient = joined(gradients)
    return TaskGradient(
        {name: gradient[name] for name in state.params}, joined(buffers), joined(measured)
    )
