"""Sinusoid tasks: the published family, one curve per task."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from metaray.algorithms.episode_shape import EpisodeShape, Split, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.sinusoid import SinusoidEpisodes

SOURCE = SinusoidEpisodes()


def spec(index: int, split: Split = "train", seed: int = 0, queries: int = 7) -> TaskSpec:
    shape = EpisodeShape(ways=1, shots=5, queries=queries)
    return TaskSpec(split=split, index=index, seed=seed, shape=shape)


def test_support_and_query_lie_on_the_described_curve() -> None:
    for index in range(20):
        episode = SOURCE.sample(spec(index))
        (text,) = SOURCE.describe(spec(index))
        found = re.fullmatch(r"y = (\d\.\d\d) sin\(x - (\d\.\d\d)\)", text)
        assert found is not None
        amplitude, phase = float(found[1]), float(found[2])
        for x, y in ((episode.support_x, episode.support_y), (episode.query_x, episode.query_y)):
            torch.testing.assert_close(y, amplitude * torch.sin(x - phase), atol=0.04, rtol=0)


def test_shapes_and_types() -> None:
    episode = SOURCE.sample(spec(0))
    assert [tuple(t.shape) for t in episode] == [(5, 1), (5, 1), (7, 1), (7, 1), ()]
    assert {t.dtype for t in episode[:4]} == {torch.float32}
    assert set(episode.support_x.ravel().tolist()).isdisjoint(episode.query_x.ravel().tolist())


def test_ranges_are_those_of_the_paper_and_filled() -> None:
    episodes = [SOURCE.sample(spec(i, queries=200)) for i in range(400)]
    x = torch.cat([e.query_x for e in episodes])
    assert -5 <= x.min() < -4.99
    assert 4.99 < x.max() <= 5
    highest = np.array([e.query_y.abs().max().item() for e in episodes])
    assert 0.09 < highest.min() < 0.3
    assert 4.8 < highest.max() <= 5
    assert abs(highest.mean() - 2.55) < 0.25
    phases = [float(SOURCE.describe(spec(i))[0].split("- ")[1][:-1]) for i in range(400)]
    assert 0 <= min(phases) < 0.05
    assert 3.09 < max(phases) <= 3.15


def test_same_spec_same_task_and_another_differs_in_everything() -> None:
    base = SOURCE.sample(spec(4))
    assert all(torch.equal(a, b) for a, b in zip(base, SOURCE.sample(spec(4)), strict=True))
    for other in (spec(5), spec(4, split="val"), spec(4, seed=1)):
        assert not torch.isclose(base.support_x, SOURCE.sample(other).support_x).any()


def test_more_than_one_way_is_refused() -> None:
    shape = EpisodeShape(ways=5, shots=1, queries=1)
    with pytest.raises(InputError, match=r"got 5 ways: set task\.ways = 1"):
        SOURCE.check("train", shape)
    with pytest.raises(InputError, match="got 5 ways"):
        SOURCE.sample(TaskSpec(split="test", index=0, seed=0, shape=shape))
