"""Episodes within one group, and whether the classes of the test are turned."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from metaray.algorithms.episode import Episode
from metaray.algorithms.episode_shape import EpisodeShape, Split, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.device_images import DeviceImages
from metaray.algorithms.tasks.image_episodes import ImageEpisodes, Rotations
from metaray.algorithms.tasks.splits import Splits
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.store_writer import write_store

# classes 0 to 17 in groups of 6, 5, 4 and 3, of which three are in each split
GROUP_OF = "a" * 6 + "b" * 5 + "c" * 4 + "d" * 3
SPLITS: Splits = {"train": tuple(range(18)), "val": tuple(range(6)), "test": tuple(range(18))}


@pytest.fixture
def data(tmp_path: Path) -> ImageEpisodes:
    rng = np.random.default_rng(0)
    classes = [
        ImageClass(f"{group}{c}", group, rng.integers(0, 255, (8, 1, 4, 4), dtype=np.uint8))
        for c, group in enumerate(GROUP_OF)
    ]
    write_store(tmp_path / "set", classes, name="groups", parameters={})
    return ImageEpisodes(ImageStore.open(tmp_path / "set"), SPLITS)


def task(index: int = 0, split: Split = "test", ways: int = 4, *, within: bool = True) -> TaskSpec:
    shape = EpisodeShape(ways=ways, shots=1, queries=2, within_group=within)
    return TaskSpec(split=split, index=index, seed=0, shape=shape)


def groups_of(data: ImageEpisodes, spec: TaskSpec) -> set[str]:
    return {name[0] for name in data.describe(spec)}


def test_all_classes_are_of_one_group_and_groups_are_equally_likely(data: ImageEpisodes) -> None:
    found: Counter[str] = Counter()
    for index in range(600):
        (group,) = groups_of(data, task(index))
        found[group] += 1
        assert len(set(data.describe(task(index)))) == 4
    assert found.keys() == set("abc")  # d has too few
    assert min(found.values()) > 160
    assert any(len(groups_of(data, task(i, within=False))) > 1 for i in range(5))


def test_without_groups_episodes_are_those_of_before(data: ImageEpisodes) -> None:
    old = TaskSpec(split="test", index=3, seed=0, shape=EpisodeShape(ways=4, shots=1, queries=2))
    pairs = zip(data.sample(old), data.sample(task(3, within=False)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_every_class_of_a_group_is_drawn_and_the_episode_is_that_of_its_spec(
    data: ImageEpisodes,
) -> None:
    seen = {name for index in range(200) for name in data.describe(task(index))}
    assert len(seen) == 6 + 5 + 4
    again = replace(data)
    pairs = zip(data.sample(task(7)), again.sample(task(7)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    episode = data.sample(task(7))
    names, images = data.queries_of(task(7))
    for x, y, image in zip(episode.query_x, episode.query_y.tolist(), images, strict=True):
        stored = data.store.images(data.store.header.class_names.index(names[y]))[image]
        assert torch.equal((x * 255).round().to(torch.uint8), torch.from_numpy(stored.copy()))


def test_turns_count_within_a_group(data: ImageEpisodes) -> None:
    turned = replace(data, rotations="all")
    assert data.most_ways("test", True) == 6
    assert turned.most_ways("test", True) == 24
    assert turned.most_ways("test", False) == 72
    (group,) = groups_of(turned, task(ways=24))
    assert group == "a"


def test_too_many_ways_for_any_group(data: ImageEpisodes) -> None:
    with pytest.raises(InputError, match=r"no group of the test split of groups has more than 6"):
        data.sample(task(ways=7))
    with pytest.raises(InputError, match=r"lower task\.train_ways or set task\.train_within_group"):
        data.check("train", task(ways=7).shape)
    data.check("test", task(ways=6).shape)


@pytest.mark.parametrize("rotations", ["none", "train", "all"])
def test_the_test_is_turned_or_upright_for_any_training(
    data: ImageEpisodes, rotations: Rotations
) -> None:
    trained = replace(data, rotations=rotations)
    for test, turns in (("none", 1), ("classes", 4)):
        tested = replace(trained, test_rotations=test)  # type: ignore[arg-type]
        assert [tested.turns("val"), tested.turns("test")] == [turns, turns]
        assert tested.turns("train") == trained.turns("train")
        plain = replace(data, rotations="all" if turns == 4 else "none")
        pairs = zip(tested.sample(task(2)), plain.sample(task(2)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_put_together_by_index_they_are_turned_too(data: ImageEpisodes) -> None:
    turned = replace(data, test_rotations="classes")
    images = DeviceImages(turned, torch.device("cpu"))
    specs = [task(index) for index in range(8)]
    pairs = zip(
        images.episodes(images.rows(specs)),
        Episode.stack([turned.sample(spec) for spec in specs]),
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in pairs)


def test_turned_tests_need_square_images(tmp_path: Path) -> None:
    classes = [ImageClass(f"c{c}", "g", np.full((2, 1, 3, 4), c, np.uint8)) for c in range(3)]
    write_store(tmp_path / "set", classes, name="wide", parameters={})
    splits: Splits = {"train": (0,), "val": (1,), "test": (2,)}
    with pytest.raises(InputError, match=r"set evaluate\.rotations = none"):
        ImageEpisodes(ImageStore.open(tmp_path / "set"), splits, test_rotations="classes")
