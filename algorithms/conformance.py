"""What every method must be: checks that ours pass and that a plug-in can run over itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from metaray.algorithms.algorithm import Algorithm, State, TaskGradient
from metaray.algorithms.batching import batched_task_gradients
from metaray.algorithms.configs import BatchNormMode, ModelConfig
from metaray.algorithms.episode import Episode
from metaray.algorithms.methods.method_section import MethodSection
from metaray.algorithms.models.build import build_backbone

WAYS = 3
_MODES: tuple[BatchNormMode, ...] = ("transductive", "inductive")


def check_method(config: MethodSection, build: Callable[..., Algorithm]) -> None:
    """Run all checks of this module over a small network in float64.

    Args:
        config: the settings of the method.
        build: the method, called as ``build(backbone, "classification", num_outputs, config)``.

    Raises:
        AssertionError: the method breaks a promise; the message says which.

    >>> from metaray.algorithms.methods.protonet import ProtoNet
    >>> from metaray.algorithms.methods.protonet_config import ProtoNetConfig
    >>> check_method(ProtoNetConfig(), ProtoNet)
    """
    backbone = build_backbone(ModelConfig(name="conv4_strided", width=4), (1, 16, 16))
    algorithm = build(backbone, "classification", WAYS, config)
    state = State(*({k: v.double() for k, v in part.items()} for part in algorithm.init(0)))
    task = _episode(0)
    check_gradient(algorithm, state, task, WAYS)
    check_batched(algorithm, state, [task, _episode(1)], WAYS)
    check_predictions(algorithm, state, task, WAYS)


def check_gradient(algorithm: Algorithm, state: State, task: Episode, ways: int) -> None:
    """A gradient is shaped as the state, is the same each time, and nothing given is changed."""
    given = [*state.params.values(), *state.buffers.values(), *task]
    before = [tensor.clone() for tensor in given]
    result = algorithm.task_gradient(state, task, ways)
    for own, returned in ((state.params, result.gradient), (state.buffers, result.buffers)):
        shapes = {name: tensor.shape for name, tensor in own.items()}
        found = {name: tensor.shape for name, tensor in returned.items()}
        assert found == shapes, "gradient and buffers must be named and shaped as the state"
    moved = any(float(part.abs().max()) > 0 for part in result.gradient.values())
    assert moved, "the gradient is zero everywhere"
    same = all(torch.equal(a, b) for a, b in zip(before, given, strict=True))
    assert same, "task_gradient changed what it was given"
    again = algorithm.task_gradient(state, task, ways)
    assert all(torch.equal(value, _parts(again)[name]) for name, value in _parts(result).items()), (
        "the same input must give the same bits"
    )


def check_batched(algorithm: Algorithm, state: State, tasks: list[Episode], ways: int) -> None:
    """Tasks that are computed together give what each gives alone."""
    batched = _parts(batched_task_gradients(algorithm, state, Episode.stack(tasks), ways))
    for index, task in enumerate(tasks):
        for name, value in _parts(algorithm.task_gradient(state, task, ways)).items():
            torch.testing.assert_close(batched[name][index], value, rtol=1e-8, atol=1e-10)


def check_predictions(algorithm: Algorithm, state: State, task: Episode, ways: int) -> None:
    """Predictions do not look at query labels, and inductive ones not at other queries."""
    wrong = task._replace(query_y=(task.query_y + 1) % ways)
    for mode in _MODES:
        ours, theirs = (algorithm.predict_by_step(state, t, ways, mode) for t in (task, wrong))
        steps = len(algorithm.reported_steps)
        assert ours.shape[:2] == (steps, len(task.query_x)), "one result for each reported step"
        assert torch.isfinite(ours).all(), "predictions must be finite"
        assert torch.equal(ours, theirs), "predictions must not look at the labels of queries"
    together = algorithm.predict_by_step(state, task, ways, "inductive")
    alone = task._replace(query_x=task.query_x[:1])
    one = algorithm.predict_by_step(state, alone, ways, "inductive")
    torch.testing.assert_close(one[:, 0], together[:, 0], rtol=1e-9, atol=1e-10)


def _parts(result: TaskGradient) -> dict[str, Any]:
    return {f"{i}.{name}": value for i, part in enumerate(result) for name, value in part.items()}


def _episode(seed: int) -> Episode:
    """Two support and two query images of each of three classes."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.rand(WAYS, 1, 1, 16, 16, generator=generator, dtype=torch.float64)
    noise = torch.rand(WAYS, 4, 1, 16, 16, generator=generator, dtype=torch.float64)
    x = (classes + 0.3 * noise) / 1.3
    y = torch.arange(WAYS).repeat_interleave(2)
    key = torch.tensor(seed, dtype=torch.int64)
    return Episode(x[:, :2].flatten(0, 1), y, x[:, 2:].flatten(0, 1), y, key)
