"""MAML++, Meta-SGD and ProtoMAML: what each adds to MAML, against a second derivation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fixtures import SMALL, WAYS, algorithm_for, assert_same, episode, state_of
from torch import Tensor
from torch.func import grad

from metaray.algorithms.algorithm import State
from metaray.algorithms.methods.gradient_based import FastWeights
from metaray.algorithms.methods.maml_config import MAMLConfig
from metaray.algorithms.methods.mamlpp import MAMLPlusPlus, step_weights
from metaray.algorithms.methods.mamlpp_config import MAMLPlusPlusConfig
from metaray.algorithms.methods.metasgd_config import MetaSGDConfig
from metaray.algorithms.methods.method_section import SecondOrder
from metaray.algorithms.methods.protomaml import ProtoMAML
from metaray.algorithms.methods.protomaml_config import ProtoMAMLConfig

PLAIN = {
    "learned_rates": False,
    "per_step_norm": False,
    "running_statistics": False,
    "multi_step_share": 0.0,
    "first_order_share": 0.0,
}


def plus_plus(**settings: Any) -> MAMLPlusPlus:
    algorithm = algorithm_for(MAMLPlusPlusConfig(inner_lr=0.25, inner_steps=3, **settings))
    assert isinstance(algorithm, MAMLPlusPlus)
    return algorithm


@pytest.mark.parametrize("form", ["unrolled", "recursion"])
def test_mamlpp_with_everything_off_is_maml(form: SecondOrder) -> None:
    plain = plus_plus(**PLAIN, second_order=form)
    maml = algorithm_for(MAMLConfig(inner_lr=0.25, inner_steps=3, eval_inner_steps=3))
    state, task = state_of(plain), episode()
    assert state.buffers == {}
    ours, expected = (a.task_gradient(state, task, WAYS) for a in (plain, maml))
    assert_same(ours.gradient, expected.gradient)
    assert_same(ours.metrics, expected.metrics)
    for mode in ("transductive", "inductive"):
        torch.testing.assert_close(
            plain.predict_by_step(state, task, WAYS, mode),  # type: ignore[arg-type]
            maml.predict_by_step(state, task, WAYS, mode),  # type: ignore[arg-type]
        )


@pytest.mark.parametrize(
    "part",
    [{"multi_step_share": 0.5}, {"first_order_share": 0.5}],
    ids=["multi-step loss", "derivative order"],
)
def test_each_annealed_part_of_mamlpp_changes_the_gradient_until_its_share_is_over(
    part: dict[str, float],
) -> None:
    without, with_it = plus_plus(**PLAIN), plus_plus(**PLAIN | part)
    state, task = state_of(without), episode()
    after = without.task_gradient(state, task, WAYS, 0.5).gradient
    assert_same(with_it.task_gradient(state, task, WAYS, 0.5).gradient, after)
    early = with_it.task_gradient(state, task, WAYS, 0.49).gradient
    assert not torch.allclose(early["block0.conv"], after["block0.conv"], rtol=1e-3)


@pytest.mark.parametrize("part", ["learned_rates", "per_step_norm"])
def test_each_learned_part_of_mamlpp_starts_as_maml_and_learns_step_by_step(part: str) -> None:
    """Equal rows give MAML's network; their gradients add up to MAML's, and differ by step."""
    without, with_it = plus_plus(**PLAIN), plus_plus(**PLAIN | {part: True})
    task = episode()
    expected = without.task_gradient(state_of(without), task, WAYS)
    result = with_it.task_gradient(state_of(with_it), task, WAYS)
    torch.testing.assert_close(result.metrics["loss"], expected.metrics["loss"])
    if part == "learned_rates":
        rows = torch.stack([result.gradient[f"rate.{k}.block0.conv"] for k in range(3)])
        assert_same({k: result.gradient[k] for k in expected.gradient}, expected.gradient)
    else:
        rows = result.gradient["block0.norm.scale"]
        torch.testing.assert_close(rows.sum(0), expected.gradient["block0.norm.scale"])
    assert len({str(row) for row in rows}) == 3
    assert float(rows.abs().min(0).values.max()) > 0


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_mamlpp_forms_agree_with_all_parts_on(share: float) -> None:
    forms: tuple[SecondOrder, ...] = ("unrolled", "recursion")
    unrolled, recursion = (
        plus_plus(second_order=form, first_order_share=share, running_statistics=True)
        for form in forms
    )
    state, task = state_of(unrolled), episode()
    for progress in (0.05, 0.9):
        one, other = (a.task_gradient(state, task, WAYS, progress) for a in (unrolled, recursion))
        assert_same(one.gradient, other.gradient, relative=1e-9)
        assert_same(one.metrics, other.metrics)
        assert_same(one.buffers, other.buffers)


def test_mamlpp_weighs_steps_as_published() -> None:
    assert step_weights(5, 0.0, 0.1) == pytest.approx(dict.fromkeys(range(5), 0.2))
    for progress in (0.0, 0.03, 0.0999):
        assert sum(step_weights(5, progress, 0.1).values()) == pytest.approx(1)
    assert step_weights(5, 0.0999, 0.1)[0] == pytest.approx(0.03 / 5)
    assert step_weights(5, 0.1, 0.1) == step_weights(5, 0.0, 0.0) == {4: 1.0}


def test_mamlpp_keeps_running_statistics_of_each_step_and_tests_by_them() -> None:
    algorithm = plus_plus(**PLAIN | {"running_statistics": True})
    state, task = state_of(algorithm), episode()
    running = algorithm.task_gradient(state, task, WAYS).buffers
    maml = algorithm_for(MAMLConfig(inner_lr=0.25, eval_inner_steps=3))
    path = maml.adapt(state_of(maml), task.support_x, task.support_y, WAYS, "inductive")
    for step in range(3):
        mean = path[step + 1].stats["block3.norm.mean"]
        torch.testing.assert_close(running["block3.norm.mean"][step], 0.1 * mean)
    moved = State(state.params, {k: v + 1 for k, v in state.buffers.items()})
    for mode, changes in (("inductive", True), ("transductive", False)):
        one, other = (
            algorithm.predict_by_step(s, task, WAYS, mode)  # type: ignore[arg-type]
            for s in (state, moved)
        )
        assert torch.equal(one, other) != changes


@pytest.mark.parametrize("form", ["unrolled", "recursion"])
def test_metasgd_with_constant_rates_is_maml(form: SecondOrder) -> None:
    settings: dict[str, Any] = {"inner_steps": 2, "eval_inner_steps": 2, "second_order": form}
    meta_sgd = algorithm_for(MetaSGDConfig(inner_lr_low=0.25, inner_lr_high=0.25, **settings))
    maml = algorithm_for(MAMLConfig(inner_lr=0.25, **settings))
    state, task = state_of(meta_sgd), episode()
    network = State({k: v for k, v in state.params.items() if not k.startswith("rate.")}, {})
    ours = meta_sgd.task_gradient(state, task, WAYS).gradient
    expected = maml.task_gradient(network, task, WAYS).gradient
    assert_same({k: ours[k] for k in expected}, expected)
    torch.testing.assert_close(
        meta_sgd.predict_by_step(state, task, WAYS, "inductive"),
        maml.predict_by_step(network, task, WAYS, "inductive"),
    )


def test_metasgd_rates_start_uniform_and_may_become_negative() -> None:
    state = algorithm_for(MetaSGDConfig()).init(0)
    rates = torch.cat([v.flatten() for k, v in state.params.items() if k.startswith("rate.")])
    weights = [v for k, v in state.params.items() if not k.startswith("rate.") and "norm" not in k]
    assert rates.numel() == sum(w.numel() for w in weights)
    assert 0.005 <= float(rates.min()) < 0.01
    assert 0.095 < float(rates.max()) <= 0.1
    assert float(rates.mean()) == pytest.approx(0.0525, abs=0.005)
    climbing = {k: -v if k.startswith("rate.") else v for k, v in state_of_metasgd().items()}
    algorithm, task = algorithm_for(MetaSGDConfig()), episode()
    before, after = (
        F.cross_entropy(logits, task.support_y)
        for logits in algorithm.predict_by_step(
            State(climbing, {}), task._replace(query_x=task.support_x), WAYS, "transductive"
        )
    )
    assert after > before


def state_of_metasgd() -> dict[str, Tensor]:
    return state_of(algorithm_for(MetaSGDConfig())).params


@pytest.mark.parametrize("mode", ["transductive", "inductive"])
def test_protomaml_without_steps_is_the_prototypical_network(mode: str) -> None:
    """Up to a constant per query, the square of its own embedding."""
    algorithm = algorithm_for(ProtoMAMLConfig(inner_steps=0, eval_inner_steps=0))
    state, task = state_of(algorithm), episode()
    (logits,) = algorithm.predict_by_step(state, task, WAYS, mode)  # type: ignore[arg-type]
    support, stats = algorithm.backbone.apply(state.params, task.support_x, None)
    given = stats if mode == "inductive" else None
    queries, _ = algorithm.backbone.apply(state.params, task.query_x, given)
    centres = torch.stack([support[task.support_y == c].mean(0) for c in range(WAYS)])
    difference = logits + torch.cdist(queries, centres).square()
    torch.testing.assert_close(difference, difference[:, :1].expand_as(difference))


def test_protomaml_learns_through_the_start_of_its_head() -> None:
    """Exact: the whole function differentiated at once. First order: only that start is."""
    exact = algorithm_for(ProtoMAMLConfig(inner_lr=0.1, inner_steps=2, second_order="recursion"))
    assert isinstance(exact, ProtoMAML)
    state, task = state_of(exact), episode()
    x, y = task.support_x, task.support_y

    def objective(params: dict[str, Tensor], order: int) -> Tensor:
        features = exact.backbone.apply(params, x, None)[0]
        means = torch.stack([features[y == k].mean(0) for k in range(WAYS)])
        at = params | {"head.weight": 2 * means, "head.bias": -(means**2).sum(-1)}
        adapted = [name for name in at if not name.endswith((".scale", ".shift"))]
        for _ in range(2):
            seen = at if order == 2 else {k: v.detach() for k, v in at.items()}
            slope = grad(lambda part, seen=seen: exact.support_loss(seen | part, x, y))(
                {name: seen[name] for name in adapted}
            )
            at = at | {name: at[name] - 0.1 * slope[name] for name in adapted}
        return F.cross_entropy(exact.predict(FastWeights(at, None), task.query_x), task.query_y)

    first = algorithm_for(ProtoMAMLConfig(inner_lr=0.1, inner_steps=2))
    for algorithm, order in ((exact, 2), (first, 1)):
        expected = grad(lambda p, order=order: objective(p, order))(state.params)
        assert_same(algorithm.task_gradient(state, task, WAYS).gradient, expected, relative=1e-9)


def test_protomaml_takes_any_number_of_classes() -> None:
    algorithm = algorithm_for(SMALL["protomaml"])
    state, task = state_of(algorithm), episode()
    pair = task.support_y < 2
    adapted = algorithm.adapt(state, task.support_x[pair], task.support_y[pair], 2, "inductive")
    assert algorithm.predict(adapted[-1], task.query_x).shape == (len(task.query_x), 2)
