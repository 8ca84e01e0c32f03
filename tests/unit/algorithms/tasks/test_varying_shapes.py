"""Episodes that draw their own ways and shots, and tasks of a shard that share them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from metaray.algorithms.episode import Episode, num_classes
from metaray.algorithms.episode_shape import EpisodeShape, Split, TaskSpec, Varying
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.class_episodes import Chosen
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.device_images import DeviceImages
from metaray.algorithms.tasks.image_episodes import ImageEpisodes
from metaray.algorithms.tasks.splits import Splits
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.store_writer import write_store
from metaray.algorithms.tasks.varying import draw_shots, draw_support_size, draw_ways

QUERIES = 3
SIZES = [5, 8, 12, 20, 40] * 4
"""images of each class; groups of 8, 7 and 5 classes"""
GROUP_OF = "a" * 8 + "b" * 7 + "c" * 5
ALL = tuple(range(20))
SPLITS: Splits = {"train": ALL, "val": ALL[:6], "test": ALL}
VARYING = Varying(min_ways=4, max_support=60, max_support_per_class=10)
SHAPE = EpisodeShape(ways=12, shots=1, queries=QUERIES, varying=VARYING)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ImageEpisodes:
    """Each image is one of a kind: its bytes are its class and its place there."""
    path = tmp_path_factory.mktemp("varying") / "set"
    classes = []
    for c, (group, size) in enumerate(zip(GROUP_OF, SIZES, strict=True)):
        pixels = np.zeros((size, 1, 2, 2), np.uint8)
        pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = c, np.arange(size)
        classes.append(ImageClass(f"{group}{c:02d}", group, pixels))
    write_store(path, classes, name="varying", parameters={})
    return ImageEpisodes(ImageStore.open(path), SPLITS)


def task(
    index: int, split: Split = "test", shard: int | None = None, *, within: bool = False
) -> TaskSpec:
    shape = replace(SHAPE, within_group=within)
    return TaskSpec(split=split, index=index, seed=1, shape=shape, shape_index=shard)


def shots_of(support: Chosen) -> list[int]:
    return np.bincount(support.labels).tolist()


def same(a: Episode, b: Episode) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_every_episode_keeps_the_bounds(data: ImageEpisodes) -> None:
    ways = set()
    for index in range(300):
        names = data.describe(task(index))
        found = data.draw(task(index))
        shots, queries = shots_of(found.support), np.bincount(found.query.labels)
        ways.add(len(shots))
        assert len(set(names)) == len(names) == len(shots)
        assert queries.tolist() == [QUERIES] * len(names)
        sizes = [SIZES[int(name[1:])] for name in names]
        assert all(1 <= k <= n - QUERIES for k, n in zip(shots, sizes, strict=True))
        assert len(names) <= sum(shots) <= 60
        pairs = [list(zip(*part, strict=True)) for part in (found.support, found.query)]
        assert len({*pairs[0], *pairs[1]}) == len(pairs[0]) + len(pairs[1])  # none twice
    assert ways == set(range(4, 13))


def test_ways_are_equally_likely_and_shots_are_uneven(data: ImageEpisodes) -> None:
    drawn = [data.draw(task(index)) for index in range(900)]
    counts = np.bincount([len(draw.ways) for draw in drawn])[4:]
    assert counts.min() > 70 and counts.max() < 135  # noqa: PT018 - 100 each
    uneven = [max(k) > min(k) for draw in drawn if sum(k := shots_of(draw.support)) > len(k)]
    assert np.mean(uneven) > 0.9
    assert max(sum(shots_of(draw.support)) for draw in drawn) > 50


def test_the_episode_is_that_of_its_spec_alone(data: ImageEpisodes) -> None:
    again = replace(data)
    for spec in (task(5), task(5, "train", 4), task(2, within=True), task(2, "train", 0)):
        assert same(data.sample(spec), again.sample(spec))
    assert not same(data.sample(task(5, "train", 4)), data.sample(task(5, "train", 3)))
    longer = [len(data.draw(replace(task(0), seed=seed)).ways) for seed in range(20)]
    assert len(set(longer)) > 3


def test_tensors_show_the_examples_that_were_drawn(data: ImageEpisodes) -> None:
    spec = task(3)
    draw, episode = data.draw(spec), data.sample(spec)
    assert num_classes(episode) == len(draw.ways)
    names, places = data.queries_of(spec)
    bytes_of = (episode.query_x[:, 0, 0] * 255).round().long()
    for (number, place), y, shown in zip(
        bytes_of.tolist(), episode.query_y.tolist(), places.tolist(), strict=True
    ):
        assert (f"{GROUP_OF[number]}{number:02d}", place) == (names[y], shown)


def test_tasks_of_a_shard_can_be_stacked_and_differ_in_the_shots_of_a_class(
    data: ImageEpisodes,
) -> None:
    shapes = set()
    for shard in range(0, 400, 4):
        specs = [task(shard + t, "train", shard) for t in range(4)]
        drawn = [data.draw(spec) for spec in specs]
        (shape,) = {(len(draw.ways), len(draw.support.labels)) for draw in drawn}
        shapes.add(shape)
        for draw in drawn:
            sizes = [SIZES[way.class_id] for way in draw.ways]
            for k, n in zip(shots_of(draw.support), sizes, strict=True):
                assert 1 <= k <= n - QUERIES
    assert {ways for ways, _ in shapes} == set(range(4, 13))
    assert len(shapes) > 40
    assert len({tuple(shots_of(draw.support)) for draw in drawn}) > 1
    stacked = Episode.stack([data.sample(spec) for spec in specs])
    rows = DeviceImages(data, torch.device("cpu"))
    assert same(stacked, rows.episodes(rows.rows(specs)))


def test_within_a_group_it_bounds_the_ways(data: ImageEpisodes) -> None:
    most = dict.fromkeys("abc", 0)
    for index in range(300):
        for spec in (task(index, within=True), task(index, "train", index // 2 * 2, within=True)):
            (group,) = {name[0] for name in data.describe(spec)}
            most[group] = max(most[group], len(data.draw(spec).ways))
        pair = [task(index + t, "train", index, within=True) for t in range(2)]
        assert len({len(data.draw(spec).ways) for spec in pair}) == 1
    assert most == {"a": 8, "b": 7, "c": 5}


def test_formulas_by_hand() -> None:
    """Four classes of 10 and of 30, two queries: S, R_c and k_c of the paper's section 3.2."""
    images, shape = np.array([10, 10, 30, 30]), replace(SHAPE, queries=2)
    for seed in range(200):
        beta = 1 - np.random.default_rng(seed).random()
        wanted = min(60, 2 * int(np.ceil(8 * beta)) + 2 * int(np.ceil(10 * beta)))
        assert draw_support_size(np.random.default_rng(seed), shape, images) == wanted
        alpha = np.random.default_rng(seed).uniform(np.log(0.5), np.log(2), 4)
        share = np.exp(alpha) * images / (np.exp(alpha) * images).sum()
        by_hand = np.minimum(np.floor(share * 26).astype(int) + 1, images - 2)
        found = draw_shots(np.random.default_rng(seed), 30, images, 2)
        assert found.tolist() == by_hand.tolist()
        exactly = draw_shots(np.random.default_rng(seed), 30, images, 2, exactly=True)
        assert exactly.sum() == 30
        assert (exactly >= found).all()
        # no class gets more than its share, rounded up, unless another has no examples left
        if (share * 26 + 1 <= images - 2).all():
            assert (exactly <= np.ceil(share * 26 + 1)).all()
    full = draw_shots(np.random.default_rng(0), 72, images, 2, exactly=True)
    assert full.tolist() == [8, 8, 28, 28]
    assert {draw_ways(np.random.default_rng(s), VARYING, 5) for s in range(30)} == {4, 5}


def test_one_class_may_have_more_than_it_adds_to_the_size() -> None:
    images = np.array([500, 20, 20])
    most = max(draw_shots(np.random.default_rng(s), 60, images, 5).max() for s in range(20))
    assert most > 40


def test_too_few_classes_or_images_are_said(data: ImageEpisodes) -> None:
    many = replace(SHAPE, ways=30, varying=replace(VARYING, min_ways=7))
    with pytest.raises(InputError, match=r"val split .* has 6 classes.*7 ways.*task\.min_ways"):
        data.check("val", many)
    with pytest.raises(InputError, match=r"no group .* 8 classes.*task\.min_ways"):
        data.check("test", replace(many, within_group=True, varying=replace(VARYING, min_ways=9)))
    with pytest.raises(InputError, match=r"has 5 images.*5 queries: lower task\.train_queries$"):
        data.check("train", replace(SHAPE, queries=5))
    data.check("test", many)
