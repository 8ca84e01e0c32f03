"""Many tasks at once: the pure one-task functions under ``vmap``, or layers with rules."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import vmap

from metaray.algorithms.algorithm import Algorithm, State, TaskGradient
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode


def batched_task_gradients(
    algorithm: Algorithm, state: State, episodes: Episode, ways: int, progress: float = 0.0
) -> TaskGradient:
    """``task_gradient`` of T stacked episodes; every tensor has a leading task axis."""

    if algorithm.rules:
        with torch.no_grad():
            gradients = algorithm.gradients_by_rules(state, episodes, ways, progress)
        if gradients is not None:
            return gradients

    def one(*tensors: Tensor) -> tuple[dict[str, Tensor], ...]:
        return tuple(algorithm.task_gradient(state, Episode(*tensors), ways, progress))

    return TaskGradient(*vmap(one)(*episodes))


def batched_predictions(
    algorithm: Algorithm, state: State, episodes: Episode, ways: int, batch_norm: BatchNormMode
) -> Tensor:
    """Query outputs of T stacked episodes: ``[T, len(reported_steps), B, num_outputs]``."""

    if algorithm.rules:
        with torch.no_grad():
            predicted = algorithm.outputs_by_rules(state, episodes, ways, batch_norm)
        if predicted is not None:
            return predicted

    def one(*tensors: Tensor) -> Tensor:
        return algorithm.predict_by_step(state, Episode(*tensors), ways, batch_norm)

    outputs: Tensor = vmap(one)(*episodes)
    return outputs
