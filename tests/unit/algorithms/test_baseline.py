"""Baseline and Baseline++: the fit against torch's own SGD, and what it leaves alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fixtures import WAYS, algorithm_for, episode, state_of
from torch import Tensor, nn
from torch.func import vmap

from metaray.algorithms.methods.baseline import Baseline, BaselinePP
from metaray.algorithms.methods.baseline_config import BaselineConfig, BaselinePPConfig
from metaray.algorithms.models.cosine_head import init_cosine_head

CONFIGS = [BaselineConfig(eval_inner_steps=25), BaselinePPConfig(eval_inner_steps=25)]
BOTH = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: str(config.name))


def build(config: Any) -> Baseline | BaselinePP:
    algorithm = algorithm_for(config)
    assert isinstance(algorithm, Baseline | BaselinePP)
    return algorithm


def features_and_labels(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.tensor([0, 2, 1, 1, 0, 2, 0])
    noise = torch.randn(7, 6, generator=generator, dtype=torch.float64)
    return 0.3 * noise + F.one_hot(y, 6), y


def fitted_by_torch(config: Any, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The head after a loop over mini-batches of four with torch.optim.SGD."""
    cosine = config.name == "baselinepp"
    head = nn.utils.parametrizations.weight_norm(nn.Linear(6, WAYS, bias=False).double(), dim=0)
    linear = nn.Linear(6, WAYS).double()
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.zero_()
        length, direction = head.parametrizations.weight.parameters()
        length.fill_(3**-0.5)
        direction.fill_(18**-0.5)
    module = head if cosine else linear
    optimizer = torch.optim.SGD(
        module.parameters(), lr=0.01, momentum=0.9, dampening=0.9, weight_decay=0.001
    )
    order = [i % 7 for i in range(4 * 25)]
    for step in range(25):
        rows = order[4 * step : 4 * step + 4]
        optimizer.zero_grad()
        inputs = F.normalize(x[rows], dim=-1) if cosine else x[rows]
        F.cross_entropy((2.0 if cosine else 1.0) * module(inputs), y[rows]).backward()
        optimizer.step()
    if cosine:
        return {"head.weight": direction.detach(), "head.length": length.detach().squeeze()}
    return {f"head.{k}": v.detach() for k, v in linear.named_parameters()}


@BOTH
def test_the_fit_is_torchs_sgd(config: Any) -> None:
    x, y = features_and_labels()
    head = build(config).fit(x, y, WAYS)[-1]
    expected = fitted_by_torch(config, x, y)
    assert head.keys() == expected.keys()
    for name in head:
        torch.testing.assert_close(head[name], expected[name], rtol=1e-6, atol=1e-8)


@BOTH
def test_the_fit_runs_under_vmap(config: Any) -> None:
    algorithm = build(config)
    tasks = [features_and_labels(seed) for seed in range(3)]
    x, y = (torch.stack(part) for part in zip(*tasks, strict=True))
    batched = vmap(lambda x, y: algorithm.fit(x, y, WAYS)[-1])(x, y)
    for i, task in enumerate(tasks):
        one = algorithm.fit(*task, WAYS)[-1]
        for name in one:
            torch.testing.assert_close(batched[name][i], one[name])


@BOTH
def test_adapting_leaves_the_backbone_alone_and_fits_the_support_set(config: Any) -> None:
    algorithm = build(
        config.model_copy(
            update={"eval_inner_steps": 60, "eval_inner_lr": 0.2, "eval_inner_batch": 12}
        )
    )
    state, task = state_of(algorithm), episode(shots=4)
    before = {k: v.clone() for part in state for k, v in part.items()}
    first, *_, last = algorithm.adapt(state, task.support_x, task.support_y, WAYS, "inductive")
    assert last.params is state.params
    assert all(torch.equal(v, before[k]) for part in state for k, v in part.items())
    start, end = (
        float(F.cross_entropy(algorithm.predict(one, task.support_x), task.support_y))
        for one in (first, last)
    )
    assert start == pytest.approx(math.log(WAYS))
    assert end < start


@BOTH
def test_training_looks_at_the_batch_alone(config: Any) -> None:
    """As the source gives it: no support set."""
    algorithm = build(config)
    state, task = state_of(algorithm), episode()
    batch = task._replace(support_x=task.support_x[:0], support_y=task.support_y[:0])
    a, b = (algorithm.task_gradient(state, t, WAYS).gradient for t in (task, batch))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_the_cosine_head_starts_as_torchs_linear_layer() -> None:
    head = init_cosine_head(torch.Generator().manual_seed(0), 256, 500)
    torch.testing.assert_close(head["head.length"].mean(), torch.tensor(3**-0.5), rtol=1e-2, atol=0)
    assert float(head["head.weight"].abs().max()) <= 1 / 16
