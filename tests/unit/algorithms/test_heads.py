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
    LDAConfig,
    LogisticConfig,
    NearestMeanConfig,
    NearestNeighboursConfig,
    RidgeConfig,
)
from metaray.algorithms.methods.lda import shrinkage
from metaray.algorithms.methods.protonet_config import ProtoNetConfig
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
