"""What sets each method apart, against a second derivation of the same numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fixtures import SMALL, WAYS, algorithm_for, assert_same, episode, state_of
from torch import Tensor

from metaray.algorithms.algorithm import State, curve_steps
from metaray.algorithms.inner_loop import InnerStep, meta_gradient
from metaray.algorithms.methods.anil import ANIL
from metaray.algorithms.methods.anil_config import ANILConfig
from metaray.algorithms.methods.gradient_based import FastWeights
from metaray.algorithms.methods.maml import MAML
from metaray.algorithms.methods.maml_config import MAMLConfig
from metaray.algorithms.methods.method_section import SecondOrder
from metaray.algorithms.methods.protonet import squared_distances
from metaray.algorithms.methods.reptile import Reptile
from metaray.algorithms.methods.reptile_config import ReptileConfig
from metaray.algorithms.models.head import HEAD


@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("mode", ["transductive", "inductive"])
def test_both_second_order_forms_agree_on_a_network_with_batch_norm(steps: int, mode: str) -> None:
    def gradient(form: SecondOrder) -> dict[str, Tensor]:
        config = MAMLConfig(
            inner_lr=0.3, inner_steps=steps, second_order=form, train_batch_norm=mode
        )
        algorithm = algorithm_for(config)
        return algorithm.task_gradient(state_of(algorithm), episode(), WAYS).gradient

    assert_same(gradient("unrolled"), gradient("recursion"), relative=1e-9)


def test_maml_with_plain_autograd_gives_the_same_gradient() -> None:
    """Equation 1 written with torch.autograd, without torch.func."""
    algorithm = algorithm_for(SMALL["maml"])
    assert isinstance(algorithm, MAML)
    state, task = state_of(algorithm), episode()
    leaves = {k: v.clone().requires_grad_() for k, v in state.params.items()}
    fast = dict(leaves)
    for _ in range(2):
        outputs = algorithm.predict(FastWeights(fast, None), task.support_x)
        names = [k for k in fast if not k.endswith((".scale", ".shift"))]
        loss = F.cross_entropy(outputs, task.support_y)
        gradients = torch.autograd.grad(loss, [fast[k] for k in names], create_graph=True)
        fast |= {k: fast[k] - 0.3 * g for k, g in zip(names, gradients, strict=True)}
    F.cross_entropy(
        algorithm.predict(FastWeights(fast, None), task.query_x), task.query_y
    ).backward()
    expected = {k: v.grad for k, v in leaves.items()}
    result = algorithm.task_gradient(state, task, WAYS)
    assert_same(result.gradient, expected)  # type: ignore[arg-type]


def test_first_order_maml_is_the_query_gradient_where_plain_training_ended() -> None:
    """Section 5.2 with torch.autograd: train on the support set, then one backward pass."""
    algorithm = algorithm_for(SMALL["fomaml"])
    state, task = state_of(algorithm), episode()
    weights = {k: v.clone().requires_grad_() for k, v in state.params.items()}
    adapted = [v for k, v in weights.items() if not k.endswith((".scale", ".shift"))]
    optimizer = torch.optim.SGD(adapted, lr=0.3)
    for _ in range(2):
        optimizer.zero_grad()
        outputs = algorithm.predict(FastWeights(weights, None), task.support_x)
        F.cross_entropy(outputs, task.support_y).backward()
        optimizer.step()
    loss = F.cross_entropy(
        algorithm.predict(FastWeights(weights, None), task.query_x), task.query_y
    )
    expected = torch.autograd.grad(loss, list(weights.values()))
    result = algorithm.task_gradient(state, task, WAYS).gradient
    assert_same(result, dict(zip(weights, expected, strict=True)))
    exact = algorithm_for(SMALL["maml"]).task_gradient(state, task, WAYS).gradient
    assert not torch.allclose(result["block0.conv"], exact["block0.conv"], rtol=1e-2)


@pytest.mark.parametrize("form", ["unrolled", "recursion"])
@pytest.mark.parametrize("mode", ["transductive", "inductive"])
def test_anil_is_maml_restricted_to_the_head(form: SecondOrder, mode: str) -> None:
    config = ANILConfig(inner_lr=0.3, inner_steps=3, second_order=form, train_batch_norm=mode)
    anil = algorithm_for(config)
    assert isinstance(anil, ANIL)
    state, task = state_of(anil), episode()

    def outputs(params: dict[str, Tensor], x: Tensor, stats: dict[str, Tensor] | None) -> Tensor:
        features, _ = anil.backbone.apply(params, x, stats)
        return F.linear(features, params[HEAD[0]], params[HEAD[1]])

    def query_loss(params: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        stats = None
        if mode == "inductive":
            stats = anil.backbone.apply(params, task.support_x, None)[1]
        return F.cross_entropy(outputs(params, task.query_x, stats), task.query_y), params[HEAD[1]]

    step = InnerStep(
        lambda params: F.cross_entropy(outputs(params, task.support_x, None), task.support_y),
        dict.fromkeys(HEAD, 0.3),
    )
    expected = meta_gradient("unrolled", [step] * 3, {3: query_loss}, state.params).gradient
    assert_same(anil.task_gradient(state, task, WAYS).gradient, expected)


def test_anil_leaves_the_body_alone_when_it_adapts() -> None:
    anil = algorithm_for(SMALL["anil"])
    state, task = state_of(anil), episode()
    last = anil.adapt(state, task.support_x, task.support_y, WAYS, "inductive")[-1]
    for name, value in last.params.items():
        assert torch.equal(value, state.params[name]) == (name not in HEAD), name


def test_reptile_with_one_sgd_step_is_joint_training() -> None:
    """Its direction is then the plain gradient of the support loss, times the step size."""
    config = ReptileConfig(inner_optimizer="sgd", inner_lr=0.1, inner_steps=1, inner_batch=6)
    reptile = algorithm_for(config)
    assert isinstance(reptile, Reptile)
    state, task = state_of(reptile), episode(shots=2)
    leaves = {k: v.clone().requires_grad_() for k, v in state.params.items()}
    outputs = reptile.predict(FastWeights(leaves, None), task.support_x)
    F.cross_entropy(outputs, task.support_y).backward()
    result = reptile.task_gradient(state, task, WAYS).gradient
    assert_same(result, {k: 0.1 * v.grad for k, v in leaves.items()})  # type: ignore[operator]


def test_reptile_trains_as_torchs_adam_does_and_hands_on_its_moment() -> None:
    config = ReptileConfig(inner_lr=0.01, inner_steps=3, inner_batch=4)
    reptile = algorithm_for(config)
    state, task = state_of(reptile), episode(shots=2)
    leaves = {k: v.clone().requires_grad_() for k, v in state.params.items()}
    adam = torch.optim.Adam(leaves.values(), lr=0.01, betas=(0.0, 0.999))
    for rows in ([0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]):  # six examples, in cycles of four
        adam.zero_grad()
        outputs = reptile.predict(FastWeights(leaves, None), task.support_x[rows])
        F.cross_entropy(outputs, task.support_y[rows]).backward()
        adam.step()
    result = reptile.task_gradient(state, task, WAYS)
    moved = {k: (state.params[k] - v).detach() for k, v in leaves.items()}
    assert_same(result.gradient, moved, relative=1e-8)
    assert float(result.buffers["adam.steps"]) == 3
    for name, leaf in leaves.items():
        torch.testing.assert_close(
            result.buffers[f"adam.second_moment.{name}"], adam.state[leaf]["exp_avg_sq"]
        )


def test_protonet_logits_are_a_linear_classifier_up_to_a_constant_per_query() -> None:
    """Snell et al. 2017, equation 8: weights 2c and bias -|c|^2."""
    protonet = algorithm_for(SMALL["protonet"])
    state, task = state_of(protonet), episode()
    (support,) = protonet.adapt(state, task.support_x, task.support_y, WAYS, "inductive")
    logits = protonet.predict(support, task.query_x)
    embed = lambda x: protonet.backbone.apply(state.params, x, state.buffers)[0]  # noqa: E731
    features = embed(task.support_x)
    centres = torch.stack([features[task.support_y == c].mean(0) for c in range(WAYS)])
    linear = 2 * embed(task.query_x) @ centres.T - centres.square().sum(-1)
    difference = logits - linear
    torch.testing.assert_close(difference, difference[:, :1].expand_as(difference))
    expected = -torch.cdist(embed(task.query_x), centres).square()
    torch.testing.assert_close(logits, expected, rtol=1e-8, atol=1e-8)


def test_protonet_keeps_running_statistics_of_support_and_query_together() -> None:
    protonet = algorithm_for(SMALL["protonet"])
    state, task = state_of(protonet), episode()
    x = torch.cat([task.support_x, task.query_x])
    first = F.conv2d(x, state.params["block0.conv"], stride=2, padding=1)
    running = protonet.task_gradient(state, task, WAYS).buffers
    torch.testing.assert_close(running["block0.norm.mean"], 0.1 * first.mean((0, 2, 3)))
    expected = 0.9 + 0.1 * first.var((0, 2, 3), correction=0)
    torch.testing.assert_close(running["block0.norm.var"], expected)


def test_distances_have_a_finite_gradient_at_zero() -> None:
    a = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    squared_distances(a, a.detach()).sum().backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


def test_state_is_the_same_for_the_same_seed_and_differs_for_another() -> None:
    algorithm = algorithm_for(SMALL["maml"])
    one, same, other = (algorithm.init(seed).params for seed in (5, 5, 6))
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["block0.conv"], other["block0.conv"])


def test_adaptation_curves_end_at_the_last_step() -> None:
    assert curve_steps(0) == (0,)
    assert curve_steps(50) == (0, 1, 2, 5, 10, 20, 50)
    assert curve_steps(100)[-1] == 100


def test_state_is_a_pair_of_named_tensors() -> None:
    state = State({"a": torch.zeros(1)}, {})
    assert state.params["a"].shape == (1,)
