"""Heads on frozen features against scikit-learn, closed forms and limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.batching import batched_predictions
from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.episode import Episode
from metaray.algorithms.methods.feature_head import Fitted
from metaray.algorithms.methods.heads_config import (
    HeadConfig,
    LaplacianShotConfig,
    LDAConfig,
    LogisticConfig,
    NearestMeanConfig,
    NearestNeighboursConfig,
    PTMAPConfig,
    RidgeConfig,
)
from metaray.algorithms.methods.lda import shrinkage
from metaray.algorithms.methods.protonet_config import ProtoNetConfig
from metaray.algorithms.methods.pt_map import balanced
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.registry import build_algorithm

WAYS = 4
HEADS: list[HeadConfig] = [
    NearestMeanConfig(),
    NearestNeighboursConfig(),
    LogisticConfig(),
    RidgeConfig(),
    LDAConfig(),
    LDAConfig(covariance="class"),
    PTMAPConfig(),
    LaplacianShotConfig(),
]
EACH = pytest.mark.parametrize("config", HEADS, ids=lambda config: str(config.name))


def task(shots: int, size: int = 6, seed: int = 0, spread: float = 1.0) -> Episode:
    """Features of four classes, labels in mixed order."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(WAYS, size, generator=generator, dtype=torch.float64)

    def part(each: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(WAYS).repeat(each)[torch.randperm(WAYS * each, generator=generator)]
        noise = torch.randn(len(y), size, generator=generator, dtype=torch.float64)
        return means[y] + spread * noise, y

    return Episode(*part(shots), *part(7))


def state(algorithm: Any) -> State:
    return State(*({k: v.double() for k, v in part.items()} for part in algorithm.init(0)))


def outputs(config: Any, episode: Episode) -> Tensor:
    backbone = build_backbone(ModelConfig(name="identity"), tuple(episode.query_x.shape[1:]))
    algorithm = build_algorithm(config, backbone, "classification", WAYS)
    return algorithm.predict_by_step(state(algorithm), episode, WAYS, "inductive")[-1]


def probabilities_of(model: Any, episode: Episode) -> np.ndarray:
    model.fit(episode.support_x.numpy(), episode.support_y.numpy())
    found: np.ndarray = model.predict_proba(episode.query_x.numpy())
    return found


def assert_alike(ours: Tensor, theirs: np.ndarray, tolerance: float) -> None:
    found = ours.softmax(-1).numpy()
    np.testing.assert_allclose(found, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(("shots", "size"), [(1, 6), (5, 6), (5, 40)])
def test_logistic_regression_is_that_of_scikit_learn(shots: int, size: int, penalty: float) -> None:
    episode = task(shots, size)
    config = LogisticConfig(normalise=False, penalty=penalty, newton_steps=15)
    model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000)
    assert_alike(outputs(config, episode), probabilities_of(model, episode), 1e-5)


def test_logistic_regression_of_length_one_is_that_of_tian() -> None:
    episode = task(5, 20)
    unit = Episode(*(t / t.norm(dim=-1, keepdim=True) if t.ndim == 2 else t for t in episode))
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
    assert_alike(outputs(LogisticConfig(), episode), probabilities_of(model, unit), 1e-6)


def test_the_default_steps_reach_the_optimum() -> None:
    for seed in range(5):
        episode = task(5, 40, seed, spread=3.0)
        for penalty in (0.01, 1.0):
            few, many = (
                outputs(LogisticConfig(penalty=penalty, newton_steps=steps), episode)
                for steps in (10, 40)
            )
            torch.testing.assert_close(few, many, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("shots", "size"), [(4, 6), (5, 40)])
def test_discriminants_by_class_are_those_of_scikit_learn(shots: int, size: int) -> None:
    episode = task(shots, size)
    config = LDAConfig(normalise=False, covariance="class")
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    assert_alike(outputs(config, episode), probabilities_of(model, episode), 2e-6)


def test_pooled_discriminants_take_the_shrinkage_of_scikit_learn() -> None:
    episode = task(3, 9)
    x, y = episode.support_x.numpy(), episode.support_y.numpy()
    means = np.stack([x[y == c].mean(0) for c in range(WAYS)])
    covariance, share = ledoit_wolf(x - means[y], assume_centered=True)
    alike = torch.full((len(x), 1), 1 / len(x), dtype=torch.float64)
    assert float(shrinkage(torch.from_numpy(x - means[y]), alike)[0]) == pytest.approx(share)
    weights = np.linalg.solve(covariance, means.T)
    logits = episode.query_x.numpy() @ weights - (means.T * weights).sum(0) / 2
    ours = outputs(LDAConfig(normalise=False), episode)
    torch.testing.assert_close(
        ours.log_softmax(-1), torch.from_numpy(logits).log_softmax(-1), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("covariance", ["pooled", "class"])
def test_discriminants_of_one_shot_are_the_nearest_mean(covariance: Any) -> None:
    episode = task(1)
    ours = outputs(LDAConfig(normalise=False, covariance=covariance), episode)
    nearest = outputs(NearestMeanConfig(metric="euclidean"), episode) / 2
    torch.testing.assert_close(ours.log_softmax(-1), nearest.log_softmax(-1))


@pytest.mark.parametrize(("shots", "size"), [(1, 6), (5, 6)])
def test_ridge_regression_is_that_of_scikit_learn(shots: int, size: int) -> None:
    episode = task(shots, size)
    config = RidgeConfig(normalise=False, penalty=0.7, scale=3.0)
    model = Ridge(alpha=0.7, fit_intercept=False)
    model.fit(episode.support_x.numpy(), np.eye(WAYS)[episode.support_y])
    wanted = torch.from_numpy(3.0 * model.predict(episode.query_x.numpy()))
    torch.testing.assert_close(outputs(config, episode), wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("neighbours", [1, 3, 50])
def test_neighbours_vote_as_those_of_scikit_learn(
    metric: Any, weights: Any, neighbours: int
) -> None:
    episode = task(5)
    config = NearestNeighboursConfig(neighbours=neighbours, metric=metric, weights=weights)
    model = KNeighborsClassifier(min(neighbours, 20), metric=metric, weights=weights)
    theirs = 0.999 * probabilities_of(model, episode) + 0.001 / WAYS
    assert_alike(outputs(config, episode), theirs, 1e-9)


def test_the_nearest_mean_by_distance_is_a_prototypical_network() -> None:
    episode = task(3)
    ours = outputs(NearestMeanConfig(metric="euclidean"), episode)
    assert torch.equal(ours, outputs(ProtoNetConfig(), episode))


def together(config: Any, episode: Episode) -> Tensor:
    """Logits of the queries, predicted together."""
    backbone = build_backbone(ModelConfig(name="identity"), tuple(episode.query_x.shape[1:]))
    algorithm = build_algorithm(config, backbone, "classification", WAYS)
    return algorithm.predict_by_step(state(algorithm), episode, WAYS, "transductive")[-1]


def accuracy(logits: Tensor, episode: Episode) -> float:
    return float((logits.argmax(-1) == episode.query_y).double().mean())


def test_a_transport_plan_gives_each_class_its_share() -> None:
    generator = torch.Generator().manual_seed(0)
    kernel = 3 * torch.randn(12, 4, generator=generator, dtype=torch.float64)
    plan, factors = balanced(kernel, torch.zeros(4, dtype=torch.float64), 500)
    torch.testing.assert_close(plan.exp().sum(1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(plan.exp().sum(0), torch.full((4,), 3.0, dtype=torch.float64))
    rows = (plan - kernel - factors)[:, 0]  # the kernel, but for factors of rows and columns
    torch.testing.assert_close(plan, kernel + factors + rows[:, None])


@pytest.mark.parametrize(("config", "least"), [(PTMAPConfig(), 0.1), (LaplacianShotConfig(), 0.02)])
def test_the_place_of_other_queries_tells_more_than_one_shot(config: Any, least: float) -> None:
    gains = []
    for seed in range(20):
        episode = task(1, size=10, seed=seed, spread=0.8)
        alone, all_at_once = outputs(config, episode), together(config, episode)
        gains.append(accuracy(all_at_once, episode) - accuracy(alone, episode))
    assert np.mean(gains) > least


def test_pt_map_is_what_the_paper_says() -> None:
    """The same by loops, with plans that start again and are iterated to their end."""
    episode = task(2, size=10, spread=0.8)
    episode = episode._replace(support_x=episode.support_x.abs(), query_x=episode.query_x.abs())

    def spread(x: Tensor) -> np.ndarray:
        powered = np.sqrt(x.numpy() + 1e-6)
        unit = powered / np.linalg.norm(powered, axis=1, keepdims=True)
        centred = unit - unit.mean(0)
        return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))

    support, queries, y = spread(episode.support_x), spread(episode.query_x), episode.support_y
    centres = np.stack([support[y == c].mean(0) for c in range(WAYS)])

    def plan() -> np.ndarray:
        found = np.exp(-10 * ((queries[:, None] - centres) ** 2).sum(-1))
        for _ in range(2000):
            found *= len(queries) / WAYS / found.sum(0)
            found /= found.sum(1, keepdims=True)
        return np.asarray(found)

    for _ in range(20):
        assigned, means = plan(), []
        for c in range(WAYS):
            total = support[y == c].sum(0) + assigned[:, c] @ queries
            means.append(total / ((y == c).sum().item() + assigned[:, c].sum()))
        centres += 0.2 * (np.stack(means) - centres)
    assert_alike(together(PTMAPConfig(), episode), plan(), 1e-4)


def test_laplacianshot_is_what_the_paper_says() -> None:
    episode = task(2, size=10)
    support, queries = (
        (x / x.norm(dim=1, keepdim=True)).numpy() for x in (episode.support_x, episode.query_x)
    )
    means = np.stack([support[episode.support_y == c].mean(0) for c in range(WAYS)])
    distances = ((queries[:, None] - means) ** 2).sum(-1)
    labels = np.exp(-distances) / np.exp(-distances).sum(1, keepdims=True)
    for _ in range(20):
        logits = -distances
        for q, query in enumerate(queries):
            near = np.argsort(((queries - query) ** 2).sum(1))[1:4]  # the first is itself
            logits[q] += 0.5 * labels[near].sum(0)
        labels = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert_alike(together(LaplacianShotConfig(), episode), labels, 1e-9)


def test_laplacianshot_without_a_penalty_is_the_nearest_mean() -> None:
    episode = task(3)
    found = together(LaplacianShotConfig(penalty=0.0), episode)
    torch.testing.assert_close(found, outputs(LaplacianShotConfig(), episode))


@EACH
def test_tasks_at_once_are_those_of_each_in_float32_too(config: Any) -> None:
    tasks = [task(5, 12, seed) for seed in range(3)]
    backbone = build_backbone(ModelConfig(name="identity"), (12,))
    algorithm = build_algorithm(config, backbone, "classification", WAYS)
    stacked = Episode.stack(tasks)
    exact = batched_predictions(algorithm, state(algorithm), stacked, WAYS, "inductive")[:, -1]
    for alone, together in zip(tasks, exact, strict=True):
        torch.testing.assert_close(outputs(config, alone), together)
    single = stacked.to(torch.device("cpu"), torch.float32)
    rounded = batched_predictions(algorithm, algorithm.init(0), single, WAYS, "inductive")[:, -1]
    torch.testing.assert_close(rounded.softmax(-1).double(), exact.softmax(-1), rtol=0, atol=2e-3)


@EACH
def test_a_fitted_head_predicts_as_the_support_set(config: Any) -> None:
    """Also with classes of different sizes, as people have them."""
    episode = task(5)
    kept = torch.cat([torch.arange(9), 9 + torch.where(episode.support_y[9:] > 1)[0]])
    backbone = build_backbone(ModelConfig(name="identity"), (6,))
    algorithm = build_algorithm(config, backbone, "classification", WAYS)
    x, y = episode.support_x[kept], episode.support_y[kept]
    assert len(set(y.bincount().tolist())) > 1
    (adapted,) = algorithm.adapt(state(algorithm), x, y, WAYS, "inductive")
    fitted = algorithm.precomputed(adapted)
    assert isinstance(fitted, Fitted)
    torch.testing.assert_close(
        algorithm.predict(fitted, episode.query_x), algorithm.predict(adapted, episode.query_x)
    )


def test_penalty_and_scale_of_ridge_are_learned() -> None:
    backbone = build_backbone(ModelConfig(name="identity"), (6,))
    algorithm = build_algorithm(RidgeConfig(), backbone, "classification", WAYS)
    start = state(algorithm)
    assert {name: round(float(v.exp()), 6) for name, v in start.params.items()} == {
        "ridge.log_penalty": 1.0,
        "ridge.log_scale": 10.0,
    }
    gradient: Tensors = algorithm.task_gradient(start, task(3), WAYS).gradient
    assert all(float(slope.abs()) > 0 for slope in gradient.values())
