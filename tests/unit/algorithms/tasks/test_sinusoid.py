"""Sinusoid tasks: the published family, one curve per task."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import EpisodeShape, Split, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.recipes.lookup import paper_defaults
from metaray.algorithms.tasks.catalog import build_source
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


def test_a_range_of_frequencies_is_filled_and_described() -> None:
    varied = SinusoidEpisodes((0.8, 1.2))
    found = []
    for index in range(300):
        episode = varied.sample(spec(index))
        (text,) = varied.describe(spec(index))
        numbers = re.fullmatch(r"y = ([\d.]+) sin\(([\d.]+) x - ([\d.]+)\)", text)
        assert numbers is not None
        amplitude, frequency, phase = map(float, numbers.groups())
        y = amplitude * torch.sin(frequency * episode.query_x - phase)
        torch.testing.assert_close(episode.query_y, y, atol=0.2, rtol=0)
        found.append(frequency)
    assert 0.8 <= min(found) < 0.81
    assert 1.19 < max(found) <= 1.2
    assert abs(np.mean(found) - 1) < 0.02


def test_one_frequency_leaves_the_tasks_as_they_were() -> None:
    pairs = zip(SOURCE.sample(spec(3)), SinusoidEpisodes((1, 1)).sample(spec(3)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    twice = SinusoidEpisodes((2, 2)).sample(spec(3))
    assert torch.equal(twice.query_x, SOURCE.sample(spec(3)).query_x)
    assert not torch.isclose(twice.query_y, SOURCE.sample(spec(3)).query_y).all()


def test_the_setting_and_the_recipe_of_meta_sgd() -> None:
    source = build_source(DataConfig(name="sinusoid", frequencies=(0.8, 1.2)))
    assert source == SinusoidEpisodes((0.8, 1.2))
    recipes = {m: paper_defaults(m, "sinusoid", 1, 10) for m in ("maml", "metasgd")}
    assert recipes["metasgd"]["data.frequencies"] == (0.8, 1.2)
    assert "data.frequencies" not in recipes["maml"]
    for wrong in ((1.2, 0.8), (0, 1), (-1, 1)):
        with pytest.raises(ValueError, match="is not a range of positive numbers"):
            DataConfig(name="sinusoid", frequencies=wrong)
    with pytest.raises(InputError, match=r"data\.frequencies has no effect on glyphs"):
        build_source(DataConfig(name="glyphs", frequencies=(0.8, 1.2)))
