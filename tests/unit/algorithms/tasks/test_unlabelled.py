"""Training tasks without labels: every image is a separate class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import EpisodeShape, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source
from metaray.algorithms.tasks.changed_copies import changed_copies
from metaray.algorithms.tasks.image_episodes import ImageEpisodes
from metaray.platform.experiment.meta import META

SHAPE = EpisodeShape(ways=6, shots=1, queries=3, unlabelled=True)


@pytest.fixture(scope="module")
def source(cache: Path) -> ImageEpisodes:
    data = DataConfig(
        name="glyphs", num_classes=40, image_size=16, split="random", cache=str(cache)
    )
    found = build_source(data)
    assert isinstance(found, ImageEpisodes)
    return found


def spec(index: int = 0, shape: EpisodeShape = SHAPE) -> TaskSpec:
    return TaskSpec(split="train", index=index, seed=3, shape=shape)


def test_support_is_an_image_and_queries_are_changed_copies_of_it(source: ImageEpisodes) -> None:
    draw, episode = source.draw(spec()), source.sample(spec())
    for label, way in enumerate(draw.ways):
        stored = torch.from_numpy(source.store.images(way.class_id)[draw.support.places] / 255)
        (row,) = torch.nonzero(episode.support_y == label)[:, 0]
        torch.testing.assert_close(episode.support_x[row].double(), stored[row])
        copies = episode.query_x[episode.query_y == label]
        assert len(copies) == 3
        assert all(not torch.equal(copy, episode.support_x[row]) for copy in copies)
    of_query = {draw.query.places[draw.query.labels == n].tolist()[0] for n in range(6)}
    assert of_query == set(draw.support.places.tolist())


def test_every_image_of_the_training_split_can_be_drawn_and_no_other(
    source: ImageEpisodes,
) -> None:
    seen = set()
    for index in range(400):
        draw = source.draw(spec(index))
        order = np.argsort(draw.support.labels)
        ids = [way.class_id for way in draw.ways]
        found = list(zip(ids, draw.support.places[order].tolist(), strict=True))
        assert len(set(found)) == 6  # without replacement
        seen |= set(found)
    images = [(c, i) for c in source.splits["train"] for i in range(len(source.store.images(c)))]
    assert seen <= set(images)
    assert len(seen) > 0.9 * len(images)
    assert source.describe(spec()) == [
        source.store.header.class_names[way.class_id] for way in source.draw(spec()).ways
    ]


def test_the_same_spec_gives_the_same_bits(source: ImageEpisodes) -> None:
    one, again, other = (source.sample(spec(index)) for index in (5, 5, 6))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.query_x, other.query_x)


def test_more_shots_are_changed_copies_too(source: ImageEpisodes) -> None:
    episode = source.sample(spec(shape=EpisodeShape(ways=4, shots=3, queries=2, unlabelled=True)))
    first = episode.support_x[episode.support_y == 0]
    assert len(first) == 3
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_copy_is_near_its_image_and_stays_in_range(channels: int) -> None:
    x = torch.zeros(50, channels, 20, 20)
    x[:, :, 6:14, 8:12] = 0.8
    copies = changed_copies(np.random.default_rng(0), x)
    assert copies.shape == x.shape
    assert float(copies.min()) >= 0
    assert float(copies.max()) <= 1
    # each copy is its own, and more like its image than an image of noise is
    assert len({tuple(copy.flatten().tolist()) for copy in copies}) == 50
    mean = copies.mean((0, 1))
    assert float(mean[8:12, 9:11].mean()) > 4 * float(mean[:3].mean())
    again = changed_copies(np.random.default_rng(0), x)
    assert torch.equal(copies, again)


def test_colour_images_change_in_light(source: ImageEpisodes) -> None:
    flat = torch.full((30, 3, 8, 8), 0.5)
    lights = changed_copies(np.random.default_rng(1), flat).mean((1, 2, 3))
    assert float(lights.std()) > 0.05


def test_too_many_ways_are_said(source: ImageEpisodes) -> None:
    shape = EpisodeShape(ways=100_000, shots=1, queries=1, unlabelled=True)
    with pytest.raises(InputError, match="images, fewer than the 100000 ways of an episode: lower"):
        source.check("train", shape)


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (["method.name=baseline"], "is for training on episodes, and baseline learns the labels"),
        (["data.name=sinusoid"], "changes copies of images: .* has none"),
        (["data.name=features", "data.root=x"], "changes copies of images: .* has none"),
        (
            ["method.name=protonet", "task.train_sampler=varying"],
            "needs task.train_sampler = fixed",
        ),
        (["task.train_within_group=true"], "draws from all images"),
    ],
)
def test_where_it_has_no_meaning_it_is_refused(sets: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        META.load(None, ["task.train_labels=none", *sets])


def test_only_training_is_without_labels() -> None:
    config = META.load(None, ["task.train_labels=none"])
    assert config.train_shape.unlabelled
    assert not config.test_shape.unlabelled
