"""Episodes of images: what is drawn, how it is labelled, and what is refused.

Every image of the fixture has its class, its number and its orientation written into its pixels.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from metaray.algorithms.episode import Episode
from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, Split, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.device_images import DeviceImages, images_on
from metaray.algorithms.tasks.image_episodes import ImageEpisodes, Rotations
from metaray.algorithms.tasks.splits import Splits
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.store_writer import write_store

NUM_CLASSES, NUM_IMAGES = 30, 8
SPLITS: Splits = {
    "train": tuple(range(0, 30, 2)),
    "val": tuple(range(1, 15, 2)),
    "test": tuple(range(15, 30, 2)),
}


def marked(class_id: int, n: int = NUM_IMAGES) -> ImageClass:
    """Pixel (0, 0): class + 1; (0, 2): image + 101; (2, 2): 250. The rest is 0."""
    images = np.zeros((n, 1, 3, 3), np.uint8)
    images[:, 0, 0, 0] = class_id + 1
    images[:, 0, 0, 2] = np.arange(n) + 101
    images[:, 0, 2, 2] = 250
    return ImageClass(f"class{class_id}", "group", images)


def source(tmp_path: Path, rotations: Rotations = "none", **few: int) -> ImageEpisodes:
    classes = [marked(c, few.get(f"class{c}", NUM_IMAGES)) for c in range(NUM_CLASSES)]
    write_store(tmp_path / "set", classes, name="marks", parameters={})
    return ImageEpisodes(ImageStore.open(tmp_path / "set"), SPLITS, rotations)


def task(index: int = 0, split: Split = "train", seed: int = 0, **shape: int) -> TaskSpec:
    sizes = {"ways": 5, "shots": 2, "queries": 3} | shape
    return TaskSpec(split=split, index=index, seed=seed, shape=EpisodeShape(**sizes))


def read(x: Tensor) -> list[tuple[int, int, int]]:
    """(class, image, quarter turns) of every image ``[n, 1, 3, 3]``."""
    found = []
    for image in (x * 255).round().to(torch.int64)[:, 0]:
        turns = [k for k in range(4) if torch.rot90(image, -k)[2, 2] == 250]
        assert len(turns) == 1, image
        upright = torch.rot90(image, -turns[0])
        found.append((int(upright[0, 0]) - 1, int(upright[0, 2]) - 101, turns[0]))
    return found


def test_sizes_types_and_range(tmp_path: Path) -> None:
    episode = source(tmp_path).sample(task())
    assert episode.support_x.shape == (10, 1, 3, 3)
    assert episode.query_x.shape == (15, 1, 3, 3)
    assert episode.support_x.dtype == episode.query_x.dtype == torch.float32
    assert episode.support_y.dtype == episode.query_y.dtype == torch.int64
    assert episode.support_y.bincount().tolist() == [2] * 5
    assert episode.query_y.bincount().tolist() == [3] * 5
    assert episode.query_x.max() == torch.tensor(250 / 255)


@pytest.mark.parametrize("rotations", ["none", "all"])
def test_support_and_query_share_classes_and_no_image(tmp_path: Path, rotations: Rotations) -> None:
    data = source(tmp_path, rotations)
    for index in range(50):
        episode = data.sample(task(index))
        support, query = read(episode.support_x), read(episode.query_x)
        assert len(set(support) | set(query)) == 25
        label_of = {
            (c, k): y for (c, _, k), y in zip(support, episode.support_y.tolist(), strict=True)
        }
        assert sorted(label_of.values()) == [0, 1, 2, 3, 4]
        wrong = [
            y
            for (c, _, k), y in zip(query, episode.query_y.tolist(), strict=True)
            if label_of[c, k] != y
        ]
        assert wrong == []


def test_every_image_can_be_drawn_and_all_at_once(tmp_path: Path) -> None:
    data = source(tmp_path)
    episode = data.sample(task(shots=3, queries=5))
    for label in range(5):
        x = torch.cat([episode.support_x[episode.support_y == label],
                       episode.query_x[episode.query_y == label]])  # fmt: skip
        assert sorted(image for _, image, _ in read(x)) == list(range(NUM_IMAGES))


@pytest.mark.parametrize("rotations", ["none", "train", "all"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_classes_and_turns_stay_in_their_split(
    tmp_path: Path, rotations: Rotations, split: Split
) -> None:
    data = source(tmp_path, rotations)
    seen = {(c, k) for i in range(150) for c, _, k in read(data.sample(task(i, split)).support_x)}
    turned = rotations == "all" or (rotations == "train" and split == "train")
    assert seen == {(c, k) for c in SPLITS[split] for k in range(4 if turned else 1)}


def test_a_turn_is_drawn_for_each_class_not_for_the_episode(tmp_path: Path) -> None:
    data = source(tmp_path, "all")
    mixed = [len({k for _, _, k in read(data.sample(task(i)).support_x)}) for i in range(40)]
    assert np.mean(np.array(mixed) > 1) > 0.9


def test_turns_of_one_class_can_meet_as_different_classes(tmp_path: Path) -> None:
    data = source(tmp_path, "all")
    episode = data.sample(task(ways=60, shots=1, queries=1))
    assert len({(c, k) for c, _, k in read(episode.support_x)}) == 60


def test_labels_are_freshly_permuted(tmp_path: Path) -> None:
    """With all 7 classes in every episode, a class still gets each label equally often."""
    data = source(tmp_path)
    counts = np.zeros((7, 7))
    for index in range(350):
        episode = data.sample(task(index, "val", ways=7, shots=1, queries=1))
        for (c, _, _), y in zip(read(episode.support_x), episode.support_y.tolist(), strict=True):
            counts[SPLITS["val"].index(c), y] += 1
    assert counts.sum() == 2450
    chi_squared = ((counts - 50) ** 2 / 50).sum()
    assert chi_squared < 80  # 36 degrees of freedom: exceeded once in 30,000 draws


def test_order_within_support_and_query_is_shuffled(tmp_path: Path) -> None:
    data = source(tmp_path)
    episodes = [data.sample(task(i)) for i in range(20)]
    for labels in ([e.support_y for e in episodes], [e.query_y for e in episodes]):
        assert len({tuple(y.tolist()) for y in labels}) > 15
        assert all(bool((y.diff() < 0).any()) for y in labels)


def test_same_spec_same_episode_in_any_order_and_after_pickling(tmp_path: Path) -> None:
    data = source(tmp_path, "train")
    forward = [data.sample(task(i)) for i in range(5)]
    again = pickle.loads(pickle.dumps(data))
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - must not matter
    for index in reversed(range(5)):
        pairs = zip(forward[index], again.sample(task(index)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("other", [task(1), task(seed=1)])
def test_another_index_or_seed_gives_another_episode(tmp_path: Path, other: TaskSpec) -> None:
    data = source(tmp_path)
    first, second = data.sample(task()), data.sample(other)
    assert read(first.support_x) != read(second.support_x)


def test_episodes_do_not_write_to_the_store(tmp_path: Path) -> None:
    data = source(tmp_path)
    data.sample(task()).support_x.zero_()
    data.store.verify()


def test_describe_names_the_class_behind_each_label(tmp_path: Path) -> None:
    data = source(tmp_path, "all")
    for index in range(10):
        episode, names = data.sample(task(index)), data.describe(task(index))
        for (c, _, k), y in zip(read(episode.query_x), episode.query_y.tolist(), strict=True):
            assert names[y] == (f"class{c} at {90 * k}°" if k else f"class{c}")


@pytest.mark.parametrize(
    ("rotations", "split", "available"),
    [("none", "val", 7), ("train", "val", 7), ("train", "train", 60), ("all", "val", 28)],
)
def test_too_many_ways(tmp_path: Path, rotations: Rotations, split: Split, available: int) -> None:
    data = source(tmp_path, rotations)
    data.check(split, EpisodeShape(ways=available, shots=1, queries=1))
    shape = EpisodeShape(ways=available + 1, shots=1, queries=1)
    said = f"{split} split of marks has {available} classes, fewer than the {shape.ways} ways"
    with pytest.raises(InputError, match=said):
        data.check(split, shape)
    with pytest.raises(InputError, match=r"lower task\.(train_)?ways"):
        data.sample(TaskSpec(split=split, index=0, seed=0, shape=shape))


def test_too_few_images_in_one_class_of_the_split(tmp_path: Path) -> None:
    data = source(tmp_path, class4=5)
    shape = EpisodeShape(ways=2, shots=2, queries=4)
    data.check("val", shape)
    data.check("train", EpisodeShape(ways=2, shots=2, queries=3))
    with pytest.raises(InputError, match="class4 of the train split has 5 images, fewer than 2 sh"):
        data.check("train", shape)


def test_turns_need_square_images(tmp_path: Path) -> None:
    classes = [ImageClass(f"c{c}", "g", np.full((2, 1, 3, 4), c, np.uint8)) for c in range(3)]
    write_store(tmp_path / "set", classes, name="wide", parameters={})
    store = ImageStore.open(tmp_path / "set")
    splits: Splits = {"train": (0,), "val": (1,), "test": (2,)}
    assert ImageEpisodes(store, splits).input_shape == (1, 3, 4)
    with pytest.raises(InputError, match="square images, got 3 x 4"):
        ImageEpisodes(store, splits, "train")


@pytest.mark.parametrize("rotations", ["none", "train"])
def test_a_batch_names_the_class_and_the_turn_of_each_image(
    tmp_path: Path, rotations: Rotations
) -> None:
    data = source(tmp_path, rotations, class4=3)
    turns = 4 if rotations == "train" else 1
    assert data.num_classes("train") == 15 * turns
    assert data.num_classes("val") == 7
    total = (15 * NUM_IMAGES - 5) * turns
    batch = data.sample_batch(BatchSpec(split="train", index=3, seed=1, size=total))
    seen = read(batch.query_x)
    assert len(set(seen)) == total  # all images, each once
    labels = [SPLITS["train"].index(class_id) * turns + turned for class_id, _, turned in seen]
    assert batch.query_y.tolist() == labels
    assert batch.support_x.shape == (0, 1, 3, 3)
    assert batch.support_y.shape == (0,)


def test_batches_are_functions_of_their_spec(tmp_path: Path) -> None:
    data = source(tmp_path)

    def batch(index: int, seed: int = 0) -> Tensor:
        spec = BatchSpec(split="train", index=index, seed=seed, size=20)
        return data.sample_batch(spec).query_x

    assert torch.equal(batch(1), batch(1))
    assert not torch.equal(batch(1), batch(2))
    assert not torch.equal(batch(1), batch(1, seed=1))
    with pytest.raises(InputError, match="has 120 images, fewer than a batch of 121"):
        data.sample_batch(BatchSpec(split="train", index=0, seed=0, size=121))


@pytest.mark.parametrize("rotations", ["none", "train", "all"])
def test_put_together_by_index_they_have_the_same_bits(
    tmp_path: Path, rotations: Rotations
) -> None:
    from_cpu = source(tmp_path, rotations)
    images = DeviceImages(from_cpu, torch.device("cpu"))
    specs = [task(index) for index in range(4)]
    batches = [BatchSpec(split="train", index=index, seed=3, size=40) for index in range(4)]
    for ours, theirs in (
        (images.rows(specs), [from_cpu.sample(spec) for spec in specs]),
        (images.batch_rows(batches), [from_cpu.sample_batch(spec) for spec in batches]),
    ):
        pairs = zip(images.episodes(ours), Episode.stack(theirs), strict=True)
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in pairs)


def test_the_cpu_puts_its_episodes_together(tmp_path: Path) -> None:
    assert images_on(torch.device("cpu"), source(tmp_path)) is None
