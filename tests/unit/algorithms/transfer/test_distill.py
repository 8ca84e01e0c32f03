"""Distillation: temperature, the frozen teacher, each term against its equation, what is gained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_job import (
    SHAPE,
    Batch,
    batch_for,
    conv4,
    gradient_of,
    networks,
    noise,
    numeric_gradient,
    sgd_step,
    state_of,
    teacher_state,
    train,
)
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.mlp import MLP
from metaray.algorithms.transfer.distill import (
    Distillation,
    attention_loss,
    similarity_loss,
    soft_loss,
)
from metaray.algorithms.transfer.distill_config import DistillConfig
from metaray.algorithms.transfer.objective import Networks, Start

ALL_TERMS = {"hint_weight": 0.5, "attention_weight": 2.0, "similarity_weight": 3.0}
NO_CLASSES = {"soft_weight": 0.0, "label_weight": 0.0}


def distillation(norm: str = "group", **settings: object) -> tuple[Distillation, Start]:
    """A wider teacher than student, with maps of the same size."""
    teacher = conv4("batch", width=6)
    config = DistillConfig.model_validate(settings)
    objective = Distillation(config, networks(norm, teacher))
    return objective, Start(teacher=teacher_state(teacher, classes=3))


# the soft term


def test_the_soft_term_is_the_divergence_of_softened_predictions() -> None:
    own, taught, temperature = noise(4, 3), noise(4, 3, seed=1), 2.5
    expected = 0.0
    for student, teacher in zip(own, taught, strict=True):
        q, p = (torch.softmax(row / temperature, -1) for row in (student, teacher))
        expected += float((p * (p / q).log()).sum())
    result = soft_loss(own, taught, temperature).item()
    assert result == pytest.approx(temperature**2 * expected / 4)
    assert soft_loss(own, own, temperature).item() == pytest.approx(0, abs=1e-12)


def test_its_gradient_is_right_and_that_of_the_cross_entropy_with_soft_targets() -> None:
    own, taught = noise(4, 3), noise(4, 3, seed=1)
    x = own.clone().requires_grad_()
    (slope,) = torch.autograd.grad(soft_loss(x, taught, 3.0), x)
    expected = numeric_gradient(lambda v: soft_loss(v, taught, 3.0), own)
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-8)
    cross_entropy = 9 * F.cross_entropy(x / 3, torch.softmax(taught / 3, -1))
    torch.testing.assert_close(slope, torch.autograd.grad(cross_entropy, x)[0])


def test_t_squared_keeps_the_gradient_level_over_temperatures() -> None:
    own, taught = noise(8, 5).requires_grad_(), noise(8, 5, seed=1)

    def size(temperature: float) -> tuple[float, float]:
        (slope,) = torch.autograd.grad(soft_loss(own, taught, temperature), own)
        level = slope.norm().item()
        return level, level / temperature**2  # with the factor, and without

    with_factor, without = zip(*(size(t) for t in (1.0, 4.0, 20.0, 100.0)), strict=True)
    assert max(with_factor) < 4 * min(with_factor)
    assert without[-1] < 1e-3 * without[0]


# the other terms


def test_hints_are_regressed_by_a_1x1_convolution_where_maps_have_the_same_size() -> None:
    objective, start = distillation(**NO_CLASSES, hint_weight=2.0)
    state, batch = state_of(objective, start=start), batch_for(objective)
    assert state.params["regressor.weight"].shape == (6, 4)
    x = batch.images[0]
    student, _ = objective.backbone.apply(state.params, x, None)
    predicted = F.conv2d(
        student.unflatten(1, (4, 2, 2)),
        state.params["regressor.weight"][:, :, None, None],
        state.params["regressor.bias"],
    )
    assert start.teacher is not None
    taught, _ = objective.teacher.apply(start.teacher.params, x, start.teacher.buffers)
    expected = 2 * (predicted.flatten(1) - taught).square().mean()
    torch.testing.assert_close(gradient_of(objective, state, batch).loss, expected)


def test_hints_are_regressed_by_a_linear_layer_where_sizes_differ() -> None:
    teacher = MLP(SHAPE, [7])
    config = DistillConfig(**NO_CLASSES, hint_weight=1.0)
    objective = Distillation(config, networks("group", teacher))
    start = Start(teacher=teacher_state(teacher))
    state, batch = state_of(objective, start=start), batch_for(objective)
    assert state.params["regressor.weight"].shape == (7, 16)
    student, _ = objective.backbone.apply(state.params, batch.images[0], None)
    predicted = student @ state.params["regressor.weight"].T + state.params["regressor.bias"]
    assert start.teacher is not None
    taught, _ = teacher.apply(start.teacher.params, batch.images[0], None)
    expected = (predicted - taught).square().mean()
    torch.testing.assert_close(gradient_of(objective, state, batch).loss, expected)


def test_attention_compares_maps_of_energy() -> None:
    own, taught = noise(2, 3, 2, 2), noise(2, 5, 2, 2, seed=1)
    total = 0.0
    for student, teacher in zip(own, taught, strict=True):
        maps = [sum(channel**2 for channel in m).flatten() for m in (student, teacher)]
        one, other = (m / m.norm() for m in maps)
        total += float((one - other).square().sum())
    assert attention_loss(own, taught).item() == pytest.approx(total / (2 * 4), rel=1e-6)


def test_attention_of_a_larger_map_is_averaged_down() -> None:
    own = noise(2, 3, 2, 2)
    larger = own.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert attention_loss(own, larger).item() == pytest.approx(0, abs=1e-12)
    assert attention_loss(larger, own).item() == pytest.approx(0, abs=1e-12)


def test_similarity_compares_rows_of_the_gram_matrix() -> None:
    own, taught = noise(4, 3), noise(4, 6, seed=1)
    rows = [F.normalize(f @ f.T, dim=1) for f in (own, taught)]
    expected = (rows[0] - rows[1]).square().sum() / 4**2
    torch.testing.assert_close(similarity_loss(own, taught), expected, rtol=1e-6, atol=0)
    turned = own @ torch.linalg.qr(noise(3, 3, seed=2))[0]  # a rotation keeps similarities
    assert similarity_loss(turned, own).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("term", [attention_loss, similarity_loss])
def test_empty_features_give_a_finite_gradient(term: object) -> None:
    shape = (2, 3, 2, 2) if term is attention_loss else (2, 3)
    x = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(term(x, noise(*shape)), x)  # type: ignore[operator]
    assert torch.isfinite(slope).all()


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    objective, start = distillation(**ALL_TERMS)
    metrics = gradient_of(objective, state_of(objective, start=start), batch_for(objective)).metrics
    weights = {"soft": 0.9, "label": 0.1, "hint": 0.5, "attention": 2.0, "similarity": 3.0}
    parts = [weight * metrics[f"{name}_loss"] for name, weight in weights.items()]
    torch.testing.assert_close(metrics["loss"], torch.stack(parts).sum())
    assert 0 <= metrics["agreement"] <= 1
    assert 0 <= metrics["accuracy"] <= 1


# the teacher


def test_the_teacher_is_frozen_and_normalised_by_its_running_statistics() -> None:
    objective, start = distillation("batch", **ALL_TERMS)
    assert start.teacher is not None
    before = {n: t.clone() for tensors in start.teacher for n, t in tensors.items()}
    state = state_of(objective, start=start)
    assert not any(name.startswith("teacher") for name in state.params)
    for number in range(3):
        state, step = sgd_step(objective, state, batch_for(objective, seed=number), lr=0.1)
        assert not any(name.startswith("teacher") for name in step.batch_stats)
    for name, tensor in before.items():
        assert torch.equal(state.buffers[f"teacher.{name}"], tensor)
    x = noise(3, *SHAPE)
    outputs = gradient_of(objective, state, Batch((x,), (torch.arange(3),))).outputs
    alone = [
        objective.teacher.apply(start.teacher.params, one[None], start.teacher.buffers)[0]
        for one in x
    ]
    torch.testing.assert_close(outputs["teacher_features"], torch.cat(alone))


def test_a_teacher_may_have_hidden_layers_below_its_classes() -> None:
    objective, start = distillation()
    assert start.teacher is not None
    hidden = {"head.hidden0.weight": noise(5, 24), "head.hidden0.bias": noise(5)}
    params = start.teacher.params | hidden | {"head.weight": noise(3, 5, seed=4)}
    start = Start(teacher=State(params, start.teacher.buffers))
    state, batch = state_of(objective, start=start), batch_for(objective)
    outputs = gradient_of(objective, state, batch).outputs
    inner = F.linear(outputs["teacher_features"], *hidden.values()).relu()
    torch.testing.assert_close(outputs["teacher_logits"], inner @ params["head.weight"].T)


def test_labels_are_not_read_where_they_have_no_weight() -> None:
    objective, start = distillation(label_weight=0.0)
    (view,) = objective.views
    assert not view.labelled
    step = gradient_of(objective, state_of(objective, start=start), batch_for(objective))
    assert "accuracy" not in step.metrics


def test_an_embedding_is_distilled_without_classes() -> None:
    objective, start = distillation(**NO_CLASSES, similarity_weight=1.0)
    state = state_of(objective, start=start)
    assert not any(name.startswith("head") for name in state.params)
    assert objective.predict(state, noise(2, *SHAPE)) is None
    assert objective.features(state, noise(2, *SHAPE)).shape == (2, 16)


@pytest.mark.parametrize("shards", [2, 3])
def test_shards_add_up_to_the_whole_batch(shards: int) -> None:
    objective, start = distillation(hint_weight=0.5, attention_weight=2.0)
    state, batch = state_of(objective, start=start), batch_for(objective, size=7)
    whole = gradient_of(objective, state, batch, shards=1)
    parts = gradient_of(objective, state, batch, shards=shards)
    torch.testing.assert_close(parts.loss, whole.loss)
    for name, slope in whole.gradient.items():
        torch.testing.assert_close(parts.gradient[name], slope, msg=name)


# bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (NO_CLASSES, "distillation without a loss"),
        ({"soft_weight": 0.0, "temperature": 2.0}, "temperature has no effect"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistillConfig.model_validate(settings)


def test_a_teacher_must_be_there() -> None:
    with pytest.raises(InputError, match="set job.teacher"):
        Distillation(DistillConfig(), networks())
    objective, _ = distillation()
    with pytest.raises(InputError, match="set job.teacher"):
        objective.init(0)


def test_a_teacher_without_classes_or_with_others_cannot_teach_predictions() -> None:
    objective, _ = distillation()
    encoder = teacher_state(objective.teacher)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="encoder without a linear classifier"):
        objective.init(0, Start(teacher=encoder))
    other = teacher_state(objective.teacher, classes=5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="knows 5 classes and the data has 3"):
        objective.init(0, Start(teacher=other))


def test_a_teacher_without_running_statistics_is_refused() -> None:
    objective, start = distillation()
    assert start.teacher is not None
    without = State(start.teacher.params, {})
    with pytest.raises(InputError, match="no running statistics for block0"):
        objective.init(0, Start(teacher=without))


def test_attention_needs_maps() -> None:
    teacher = conv4(reduce="stride", norm="batch")
    with pytest.raises(InputError, match="teacher leaves a single pixel"):
        Distillation(DistillConfig(attention_weight=1.0), networks(teacher=teacher))


# what it is for


def taught_by(settings: dict[str, float], steps: int = 150) -> tuple[Distillation, State, Tensor]:
    """A narrow student of a wide random network, which alone says what the classes are."""
    shape = (1, 4, 4)
    teacher = MLP(shape, [32])
    config = DistillConfig.model_validate(settings)
    objective = Distillation(config, Networks(MLP(shape, [16]), shape, 3, teacher))
    start = Start(teacher=teacher_state(teacher, classes=3))

    def batches(step: int) -> Batch:
        rows = np.random.default_rng(step).integers(0, 2**31)
        return Batch((noise(32, *shape, seed=int(rows)),), (None,))

    state = train(objective, batches, steps, lr=0.3, start=start)
    return objective, state, noise(300, *shape, seed=5)


def test_a_student_comes_to_agree_with_its_teacher() -> None:
    settings = {"label_weight": 0.0, "soft_weight": 1.0}

    def agreement(steps: int) -> float:
        objective, state, x = taught_by(settings, steps)
        outputs = gradient_of(objective, state, Batch((x,), (None,))).outputs
        same = outputs["logits"].argmax(-1) == outputs["teacher_logits"].argmax(-1)
        return same.double().mean().item()

    assert agreement(0) < 0.6
    assert agreement(150) > 0.8


@pytest.mark.parametrize("term", ["hint", "similarity"])
def test_a_student_comes_to_embed_as_its_teacher(term: str) -> None:
    settings = {**NO_CLASSES, f"{term}_weight": 1.0 if term == "hint" else 100.0}

    def distance(steps: int) -> float:
        objective, state, x = taught_by(settings, steps)
        return gradient_of(objective, state, Batch((x,), (None,))).loss.item()

    assert distance(150) < 0.5 * distance(0)
