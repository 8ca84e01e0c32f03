"""Matching, relation and siamese networks against a second derivation of the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from fixtures import SMALL, WAYS, algorithm_for, episode, state_of
from torch import Tensor

from metaray.algorithms.algorithm import Algorithm, State
from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.methods.matching import (
    READ_STEPS,
    MatchingNetwork,
    log_attention,
    log_mixture,
    read_queries,
    read_support,
)
from metaray.algorithms.methods.matching_config import MatchingConfig
from metaray.algorithms.methods.relation import RelationNetwork
from metaray.algorithms.methods.siamese import contrastive_loss, distances, triplet_loss
from metaray.algorithms.methods.siamese_config import SiameseConfig
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.models.lstm import init_lstm, lstm_cell
from metaray.algorithms.registry import build_algorithm

Loss = Callable[[Tensor, Tensor, float], Tensor]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def features_of(algorithm: Algorithm, state: State, x: Tensor) -> Tensor:
    return algorithm.backbone.apply(state.params, x, state.buffers)[0]


def predict(algorithm: Algorithm, state: State) -> Tensor:
    return algorithm.predict_by_step(state, episode(), WAYS, "inductive")[-1]


# matching networks


def test_attention_sums_to_one_also_within_the_classes() -> None:
    attention = log_attention(noise(4, 6), noise(5, 6, seed=1), temperature=0.3)
    torch.testing.assert_close(attention.exp().sum(-1), torch.ones(4, dtype=torch.float64))
    mixture = log_mixture(attention, F.one_hot(torch.tensor([0, 1, 2, 1, 0])).double())
    torch.testing.assert_close(mixture.exp().sum(-1), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_matching_mixes_support_labels_by_a_softmax_of_cosines(temperature: float) -> None:
    matching = algorithm_for(MatchingConfig(temperature=temperature))
    state, task = state_of(matching), episode()
    support = features_of(matching, state, task.support_x)
    queries = features_of(matching, state, task.query_x)
    logits = predict(matching, state)
    for query, predicted in zip(queries, logits, strict=True):
        weights = [
            torch.exp(query @ example / (query.norm() * example.norm()) / temperature)
            for example in support
        ]
        expected = torch.zeros(WAYS, dtype=torch.float64)
        for weight, label in zip(weights, task.support_y, strict=True):
            expected[label] += weight / sum(weights)
        torch.testing.assert_close(predicted.exp(), expected, rtol=1e-6, atol=1e-9)


def test_matching_loss_is_the_negative_log_likelihood_of_the_mixture() -> None:
    matching = algorithm_for(MatchingConfig(temperature=0.1))
    state, task = state_of(matching), episode()
    mixture = matching.predict_by_step(state, task, WAYS, "transductive")[-1].exp()
    expected = -torch.stack([p[y] for p, y in zip(mixture, task.query_y, strict=True)]).log().mean()
    metrics = matching.task_gradient(state, task, WAYS).metrics
    torch.testing.assert_close(metrics["loss"], expected)


def test_full_context_with_zero_weights_is_no_context() -> None:
    plain = algorithm_for(MatchingConfig(temperature=0.1))
    context = algorithm_for(MatchingConfig(temperature=0.1, full_context=True))
    state = state_of(context)
    expected = predict(plain, State(state_of(plain).params, state.buffers))
    zeros = {
        k: torch.zeros_like(v) if k.startswith("context.") else v for k, v in state.params.items()
    }
    torch.testing.assert_close(predict(context, State(zeros, state.buffers)), expected)
    assert not torch.allclose(predict(context, state), expected)


def context_params() -> tuple[MatchingNetwork, dict[str, Tensor]]:
    matching = algorithm_for(MatchingConfig(full_context=True))
    assert isinstance(matching, MatchingNetwork)
    params = {k: v for k, v in state_of(matching).params.items() if k.startswith("context.")}
    return matching, {k: v + 0.3 * noise(*v.shape, seed=len(k)) for k, v in params.items()}


def test_support_is_read_by_torchs_bidirectional_lstm_and_a_skip() -> None:
    matching, params = context_params()
    size = matching.backbone.feature_dim
    lstm = torch.nn.LSTM(size, size, bidirectional=True, dtype=torch.float64)
    with torch.no_grad():
        for prefix, suffix in (("context.forward", "l0"), ("context.backward", "l0_reverse")):
            getattr(lstm, f"weight_ih_{suffix}").copy_(params[f"{prefix}.input"])
            getattr(lstm, f"weight_hh_{suffix}").copy_(params[f"{prefix}.recurrent"])
            getattr(lstm, f"bias_ih_{suffix}").copy_(params[f"{prefix}.bias"])
            getattr(lstm, f"bias_hh_{suffix}").zero_()
        x = noise(5, size)
        both = lstm(x)[0]
    expected = both[:, :size] + both[:, size:] + x
    torch.testing.assert_close(read_support(params, x), expected)


def test_queries_read_the_support_as_in_the_papers_appendix() -> None:
    matching, params = context_params()
    size = matching.backbone.feature_dim
    queries, context = noise(3, size), noise(5, size, seed=1)
    read = read_queries(params, queries, context)
    for query, result in zip(queries, read, strict=True):
        h = c = torch.zeros(size, dtype=torch.float64)
        for _ in range(READ_STEPS):
            weights = torch.stack([torch.dot(h, g) for g in context]).exp()
            r = sum(w * g for w, g in zip(weights / weights.sum(), context, strict=True))
            h, c = lstm_cell(params, "context.read", torch.cat([query, r]), (h, c))  # type: ignore[list-item]
            h = h + query
        torch.testing.assert_close(result, h)


def test_lstm_cell_equals_torchs() -> None:
    params = init_lstm(torch.Generator().manual_seed(0), "cell", 3, 4)
    cell = torch.nn.LSTMCell(3, 4)
    with torch.no_grad():
        cell.weight_ih.copy_(params["cell.input"])
        cell.weight_hh.copy_(params["cell.recurrent"])
        cell.bias_ih.copy_(params["cell.bias"])
        cell.bias_hh.zero_()
        x, h, c = (noise(2, size, seed=size).float() for size in (3, 4, 4))
        torch.testing.assert_close(lstm_cell(params, "cell", x, (h, c)), cell(x, (h, c)))


# relation networks


@pytest.mark.parametrize("size", [16, 28])
def test_relation_scores_equal_a_loop_over_pairs(size: int) -> None:
    backbone = build_backbone(ModelConfig(name="conv4_map", width=4), (1, size, size))
    assert backbone.map_shape == (4, size // 4, size // 4)
    relation = build_algorithm(SMALL["relation"], backbone, "classification", WAYS)  # type: ignore[arg-type]
    state, task = state_of(relation), episode()
    grow = size // 16 + 1
    wide = [t.repeat(1, 1, grow, grow)[..., :size, :size] for t in (task.support_x, task.query_x)]
    task = task._replace(support_x=wide[0], query_x=wide[1])
    params, stats = state.params, {k: v + 0.1 for k, v in state.buffers.items()}
    state = State(params, stats)
    predicted = relation.predict_by_step(state, task, WAYS, "inductive")[-1]

    def block(x: Tensor, name: str) -> Tensor:
        x = F.conv2d(x, params[f"{name}.conv"], padding=1)
        x = F.batch_norm(
            x,
            stats[f"{name}.norm.mean"],
            stats[f"{name}.norm.var"],
            params[f"{name}.norm.scale"],
            params[f"{name}.norm.shift"],
        )
        return F.max_pool2d(F.relu(x), 2)

    maps = [features_of(relation, state, x).unflatten(1, backbone.map_shape) for x in wide]
    for i, query in enumerate(maps[1]):
        for c in range(WAYS):
            of_class = sum(m for m, y in zip(maps[0], task.support_y, strict=True) if y == c)
            x = torch.cat([of_class, query])[None]  # type: ignore[list-item]
            x = block(block(x, "relation.block0"), "relation.block1").flatten()
            x = F.relu(params["relation.hidden.weight"] @ x + params["relation.hidden.bias"])
            score = params["relation.score.weight"] @ x + params["relation.score.bias"]
            torch.testing.assert_close(predicted[i, c], score[0], rtol=1e-8, atol=1e-8)


def test_relation_is_trained_by_the_squared_error_of_its_scores() -> None:
    relation = algorithm_for(SMALL["relation"])
    assert isinstance(relation, RelationNetwork)
    state, task = state_of(relation), episode()
    r = relation.predict_by_step(state, task, WAYS, "transductive")[-1].sigmoid()
    errors = [
        (float(r[j, i]) - float(task.query_y[j] == i)) ** 2
        for j in range(len(r))
        for i in range(WAYS)
    ]
    loss = relation.task_gradient(state, task, WAYS).metrics["loss"]
    assert float(loss) == pytest.approx(sum(errors) / len(errors), rel=1e-9)


def test_the_relation_modules_norm_keeps_running_statistics() -> None:
    relation = algorithm_for(SMALL["relation"])
    state = state_of(relation)
    kept = relation.task_gradient(state, episode(), WAYS).buffers
    for name in ("relation.block0.norm.mean", "relation.block1.norm.var"):
        assert not torch.equal(kept[name], state.buffers[name])


# siamese networks

LABELS = torch.tensor([0, 1, 0, 2, 1, 0])


def test_contrastive_loss_equals_a_loop_over_pairs() -> None:
    examples, margin = noise(6, 4), 2.5
    same, different = [], []
    for i in range(6):
        for j in range(i):
            d = float((examples[i] - examples[j]).norm())
            if LABELS[i] == LABELS[j]:
                same.append(d**2 / 2)
            else:
                different.append(max(0.0, margin - d) ** 2 / 2)
    assert 0 < sum(d > 0 for d in different) < len(different)  # the margin matters
    expected = sum(same) / len(same) + sum(different) / len(different)
    loss = float(contrastive_loss(examples, LABELS, margin))
    assert loss == pytest.approx(expected, rel=1e-9)


def test_triplet_loss_equals_a_loop_over_triplets() -> None:
    examples, margin = noise(6, 4), 0.5
    squared = lambda i, j: float((examples[i] - examples[j]).square().sum())  # noqa: E731
    hinges = [
        max(0.0, squared(a, p) - squared(a, n) + margin)
        for a, p, n in permutations(range(6), 3)
        if LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]
    ]
    assert 0 < sum(h > 0 for h in hinges) < len(hinges)
    loss = float(triplet_loss(examples, LABELS, margin))
    assert loss == pytest.approx(sum(hinges) / len(hinges), rel=1e-9)


@pytest.mark.parametrize("loss", [contrastive_loss, triplet_loss])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_examples_that_meet_have_a_known_loss_and_a_finite_gradient(
    loss: Loss,
    dtype: torch.dtype,
) -> None:
    """All in one place: no attraction, and repulsion over the whole margin."""
    leaf = F.normalize(noise(1, 64).to(dtype)).repeat(6, 1).requires_grad_()
    value = loss(leaf, LABELS, 0.5)
    value.backward()
    expected = 0.5**2 / 2 if loss is contrastive_loss else 0.5
    assert float(value.detach()) == pytest.approx(expected, rel=1e-5)
    assert leaf.grad is not None
    assert float(leaf.grad.abs().max()) < 1e-4


def test_a_pair_that_meets_leaves_the_gradient_of_the_others_right() -> None:
    examples = (4 * noise(4, 3)).round()  # of which the distance at zero is exactly zero
    examples[1] = examples[0]
    leaf = examples.clone().requires_grad_()
    distances(leaf, leaf).sum().backward()
    expected = torch.zeros_like(examples)
    for i in range(4):
        for j in range(4):
            difference = examples[i] - examples[j]
            if float(difference.norm()) > 0:
                expected[i] += 2 * difference / difference.norm()
    torch.testing.assert_close(leaf.grad, expected)


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_an_episode_of_identical_images_stays_finite(loss: str) -> None:
    siamese = algorithm_for(SiameseConfig(loss=loss))  # type: ignore[arg-type]
    task = episode()
    same = task._replace(
        support_x=torch.full_like(task.support_x, 0.5), query_x=torch.full_like(task.query_x, 0.5)
    )
    result = siamese.task_gradient(state_of(siamese), same, WAYS)
    assert all(
        torch.isfinite(t).all() for t in (*result.gradient.values(), *result.metrics.values())
    )


@pytest.mark.parametrize(
    ("loss", "of"), [("contrastive", contrastive_loss), ("triplet", triplet_loss)]
)
def test_siamese_trains_on_support_and_queries_together(loss: str, of: Loss) -> None:
    siamese = algorithm_for(SiameseConfig(loss=loss, margin=0.4))  # type: ignore[arg-type]
    state, task = state_of(siamese), episode()
    x = torch.cat([task.support_x, task.query_x])
    examples = F.normalize(siamese.backbone.apply(state.params, x, None)[0])
    expected = of(examples, torch.cat([task.support_y, task.query_y]), 0.4)
    result = siamese.task_gradient(state, task, WAYS).metrics["loss"]
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-8)


def test_siamese_logits_are_minus_the_distance_to_the_nearest_of_each_class() -> None:
    siamese = algorithm_for(SMALL["siamese"])
    state, task = state_of(siamese), episode()
    support = F.normalize(features_of(siamese, state, task.support_x))
    queries = F.normalize(features_of(siamese, state, task.query_x))
    logits = predict(siamese, state)
    for query, predicted in zip(queries, logits, strict=True):
        for c in range(WAYS):
            near = min(float((query - s).norm()) for s in support[task.support_y == c])
            assert float(predicted[c]) == pytest.approx(-near, rel=1e-5, abs=1e-6)
