"""DANN, CORAL, MMD and training on the source alone."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from small_job import (
    Batch,
    batch_for,
    gradient_of,
    networks,
    noise,
    numeric_gradient,
    sgd_step,
    state_of,
    train,
)
from torch import Tensor
from torch.func import grad, vmap

from metaray.algorithms.errors import InputError
from metaray.algorithms.models.mlp import MLP
from metaray.algorithms.transfer.alignment import coral, mmd
from metaray.algorithms.transfer.domain_adaptation import domain_adaptation
from metaray.algorithms.transfer.domain_adaptation_config import DANNConfig
from metaray.algorithms.transfer.gradient_reversal import reversal_at, reverse_gradient
from metaray.algorithms.transfer.objective import Networks
from metaray.algorithms.transfer.source_only import SourceOnly

SMALL = {"label_hidden": (5,)}


def objective_for(adaptation: str, norm: str = "group", **settings: object) -> SourceOnly:
    config = DANNConfig.model_validate({"adaptation": adaptation, **SMALL, **settings})
    return domain_adaptation(config, networks(norm))


# the gradient reversal layer


def test_lambda_rises_from_0_to_almost_1() -> None:
    assert reversal_at(0.0) == 0.0
    assert reversal_at(1.0) == pytest.approx(0.9999, abs=1e-5)
    assert reversal_at(0.3) == pytest.approx(2 / (1 + exp(-3)) - 1)


def test_reversal_is_the_identity_forward_and_minus_lambda_backward() -> None:
    x = noise(3, 4).requires_grad_()
    out = reverse_gradient(x, 0.3)
    assert torch.equal(out, x)
    weight = noise(3, 4, seed=1)
    (slope,) = torch.autograd.grad((out * weight).sum(), x)
    torch.testing.assert_close(slope, -0.3 * weight)


def test_reversal_works_within_function_transforms() -> None:
    x = noise(5, 4)
    slope = vmap(grad(lambda row: reverse_gradient(row, 2.0).square().sum()))(x)
    torch.testing.assert_close(slope, -4 * x)


# DANN


def by_hand(objective: SourceOnly, state: object, batch: Batch) -> tuple[Tensor, ...]:
    """Gradients of label and domain loss without reversal, features by their own graph."""
    params = {n: p.clone().requires_grad_() for n, p in state.params.items()}  # type: ignore[attr-defined]
    x = torch.cat(batch.images)
    features, _ = objective.backbone.apply(params, x, None)
    n = len(batch.images[0])
    hidden = F.linear(
        features[:n], params["head.hidden0.weight"], params["head.hidden0.bias"]
    ).relu()
    logits = F.linear(hidden, params["head.weight"], params["head.bias"])
    label_loss = F.cross_entropy(logits, batch.labels[0])
    inner = F.linear(features, params["domain.hidden0.weight"], params["domain.hidden0.bias"])
    domain = F.linear(inner.relu(), params["domain.weight"], params["domain.bias"])[:, 0]
    is_target = (torch.arange(2 * n) >= n).double()
    domain_loss = 2 * F.binary_cross_entropy_with_logits(domain, is_target)  # equal halves
    gradients = [
        dict(
            zip(
                params,
                torch.autograd.grad(
                    loss,
                    list(params.values()),
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                ),
                strict=True,
            )
        )
        for loss in (label_loss, domain_loss)
    ]
    return label_loss + domain_loss, *gradients  # type: ignore[return-value]


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("progress", [0.0, 0.2, 1.0])
def test_only_the_feature_extractor_sees_lambda(norm: str, progress: float) -> None:
    objective = objective_for("dann", norm, weight=0.7)
    state, batch = state_of(objective), batch_for(objective)
    step = gradient_of(objective, state, batch, progress=progress)
    loss, label, domain = by_hand(objective, state, batch)
    torch.testing.assert_close(step.loss, loss.detach())
    strength = 0.7 * reversal_at(progress)
    for name, slope in step.gradient.items():
        factor = 1.0 if name.startswith("domain.") else -strength
        torch.testing.assert_close(slope, label[name] + factor * domain[name], msg=name)


def test_dann_with_a_domain_classifier_that_wins_reports_it() -> None:
    objective = objective_for("dann")
    outputs = {
        "logits": noise(2, 3),
        "source_domain": torch.tensor([-3.0, -2.0]).double(),
        "target_domain": torch.tensor([3.0, -1.0]).double(),
    }
    labels = (torch.tensor([0, 1]), None)
    loss, metrics = objective.loss(state_of(objective), outputs, labels, 0.5)
    assert metrics["domain_accuracy"] == 0.75
    expected = [np.log1p(np.exp(v)) for v in (-3.0, -2.0, -3.0, 1.0)]
    assert metrics["domain_loss"] == pytest.approx(sum(expected) / 2)
    torch.testing.assert_close(loss, metrics["label_loss"] + metrics["domain_loss"])
    torch.testing.assert_close(metrics["loss"], loss)


@pytest.mark.parametrize("adaptation", ["dann", "coral", "mmd"])
def test_target_labels_are_out_of_reach(adaptation: str) -> None:
    source, target = objective_for(adaptation).views
    assert (source.domain, source.labelled) == ("source", True)
    assert (target.domain, target.labelled) == ("target", False)


def test_without_adaptation_the_target_is_not_even_asked_for() -> None:
    (view,) = objective_for("none").views
    assert view.domain == "source"


def test_at_lambda_0_features_learn_as_without_adaptation() -> None:
    dann, alone = objective_for("dann"), objective_for("none")
    batch, state = batch_for(dann), state_of(dann)
    own = {n: p for n, p in state.params.items() if not n.startswith("domain.")}
    with_target = gradient_of(dann, state, batch, progress=0.0).gradient
    source = Batch(batch.images[:1], batch.labels[:1])
    without = gradient_of(alone, state._replace(params=own), source).gradient
    for name, slope in without.items():
        torch.testing.assert_close(with_target[name], slope)


def test_both_domains_are_one_batch_to_batch_norm() -> None:
    objective = objective_for("dann", "batch")
    state, batch = state_of(objective), batch_for(objective)
    batch_stats = gradient_of(objective, state, batch).batch_stats
    _, expected = objective.backbone.apply(state.params, torch.cat(batch.images), None)
    assert batch_stats.keys() == state.buffers.keys()
    for name, value in expected.items():
        torch.testing.assert_close(batch_stats[name], value)


@pytest.mark.parametrize("adaptation", ["dann", "coral", "mmd", "none"])
def test_shards_add_up_to_the_whole_batch(adaptation: str) -> None:
    objective = objective_for(adaptation)
    state, batch = state_of(objective), batch_for(objective, size=7)
    whole = gradient_of(objective, state, batch, shards=1)
    parts = gradient_of(objective, state, batch, shards=3)
    if adaptation != "dann":  # whose mean over two domains is linear in the shards, too
        assert objective.couples_batch == (adaptation != "none")
    torch.testing.assert_close(parts.loss, whole.loss)
    for name, slope in whole.gradient.items():
        torch.testing.assert_close(parts.gradient[name], slope, msg=name)


def test_only_batch_norm_is_said_to_see_both_domains() -> None:
    assert "one batch" in objective_for("dann", "batch").describe()["batch_norm"]
    assert objective_for("dann", "group").describe() == {}


def test_a_shard_of_one_image_cannot_be_batch_normalised() -> None:
    objective = objective_for("none", "batch")
    with pytest.raises(InputError, match="got a shard of one"):
        gradient_of(objective, state_of(objective), batch_for(objective, size=1))


def test_a_prediction_uses_running_statistics_and_one_image_at_a_time() -> None:
    objective = objective_for("dann", "batch")
    state, _ = sgd_step(objective, state_of(objective), batch_for(objective), lr=0.1)
    x = noise(4, 1, 8, 8, seed=9)
    together = objective.predict(state, x)
    alone = torch.cat([objective.predict(state, one[None]) for one in x])
    torch.testing.assert_close(together, alone)
    assert together.shape == (4, 3)


def test_the_encoder_is_what_the_backbone_alone_has() -> None:
    objective = objective_for("dann", "batch")
    params, stats = objective.backbone.init(torch.Generator().manual_seed(0))
    encoder = objective.encoder(state_of(objective))
    assert encoder.params.keys() == params.keys()
    assert encoder.buffers.keys() == stats.keys()


# CORAL and MMD


def test_coral_is_the_distance_of_covariances() -> None:
    source, target = noise(6, 3), 2 * noise(5, 3, seed=1)
    distance = 0.0
    covariances = [np.cov(x.numpy(), rowvar=False) for x in (source, target)]
    for i in range(3):
        for j in range(3):
            distance += (covariances[0][i, j] - covariances[1][i, j]) ** 2
    assert coral(source, target).item() == pytest.approx(distance / (4 * 3**2))


def test_mmd_is_the_distance_of_kernel_means() -> None:
    source, target = noise(4, 3), noise(5, 3, seed=1) + 1
    x = torch.cat([source, target])
    width = np.mean([float((a - b).square().sum()) for a in x for b in x])

    def kernel(a: Tensor, b: Tensor) -> float:
        squared = float((a - b).square().sum())
        return np.mean([exp(-squared / (w * width)) for w in (0.25, 0.5, 1, 2, 4)])

    def mean(these: Tensor, those: Tensor) -> float:
        return float(np.mean([kernel(a, b) for a in these for b in those]))

    expected = mean(source, source) + mean(target, target) - 2 * mean(source, target)
    assert mmd(source, target).item() == pytest.approx(expected)


@pytest.mark.parametrize("distance", [coral, mmd])
def test_equal_batches_have_no_distance(distance: object) -> None:
    x = noise(5, 3)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert abs(distance(x, x[order]).item()) < 1e-12  # type: ignore[operator]
    assert distance(x, 3 * x + 1).item() > 1e-3  # type: ignore[operator]


@pytest.mark.parametrize("distance", [coral, mmd])
def test_identical_images_give_a_finite_gradient(distance: object) -> None:
    x = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(distance(x, x.detach()), x)  # type: ignore[operator]
    assert torch.isfinite(slope).all()


def test_the_gradients_of_both_distances_are_right() -> None:
    source, target = noise(4, 3), noise(5, 3, seed=1)
    slope = torch.autograd.grad(coral(x := source.clone().requires_grad_(), target), x)[0]
    expected = numeric_gradient(lambda s: coral(s, target), source)
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-8)
    # the kernel's width is taken as given: it follows the data, but is not learned
    slope = torch.autograd.grad(mmd(x := source.clone().requires_grad_(), target), x)[0]
    together = torch.cat([source, target])
    width = torch.cdist(together, together).square().mean()

    def fixed_width(s: Tensor) -> Tensor:
        total = torch.zeros((), dtype=s.dtype)
        for w in (0.25, 0.5, 1, 2, 4):
            ss, tt, st = (
                torch.exp(-torch.cdist(a, b).square() / (w * width)).mean()
                for a, b in ((s, s), (target, target), (s, target))
            )
            total = total + (ss + tt - 2 * st) / 5
        return total

    expected = numeric_gradient(fixed_width, source)
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-8)


def test_coral_needs_two_images_of_each_domain() -> None:
    with pytest.raises(InputError, match="got 1 and 3"):
        coral(noise(1, 3), noise(3, 3))


# settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adaptation": "mmd", "domain_hidden": [5]}, "domain_hidden has no effect"),
        ({"adaptation": "none", "weight": 2.0}, "weight has no effect"),
        ({"label_hidden": [0]}, "a layer needs a unit"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DANNConfig.model_validate(settings)


# what it is for


def moons(angle: float, seed: int, size: int) -> tuple[Tensor, Tensor]:
    x, y = make_moons(size, noise=0.05, random_state=seed)
    x = x - x.mean(0)
    turn = np.deg2rad(angle)
    x = x @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return torch.from_numpy(x)[:, None, None, :], torch.from_numpy(y).long()


def target_accuracy(adaptation: str, size: int = 200) -> float:
    """Two moons, and two moons turned by 35 degrees (section 5.1 of the paper)."""
    config = DANNConfig.model_validate({"adaptation": adaptation, "label_hidden": []})
    shape = (1, 1, 2)
    objective = domain_adaptation(config, Networks(MLP(shape, [15]), shape, 2))
    (source_x, source_y), (target_x, target_y) = moons(0, 0, size), moons(35, 1, size)
    views = len(objective.views)
    batch = Batch((source_x, target_x)[:views], (source_y, None)[:views])
    state = train(objective, lambda step: batch, steps=600, lr=0.5)
    return (objective.predict(state, target_x).argmax(-1) == target_y).double().mean().item()


def test_adaptation_helps_on_a_turned_target() -> None:
    source_only = target_accuracy("none")
    assert target_accuracy("dann") > source_only + 0.05
    assert target_accuracy("coral") > source_only + 0.03
    assert target_accuracy("mmd", size=100) > target_accuracy("none", size=100) + 0.03
