"""Images of a domain divided within classes, and the batches that are made of them."""

from __future__ import annotations

import io
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source, splits_of
from metaray.algorithms.transfer import batches
from metaray.algorithms.transfer.domain_config import DomainConfig
from metaray.algorithms.transfer.examples import (
    PARTS,
    Examples,
    Part,
    check_same_classes,
    open_examples,
)


def domain(root: Path, cache: Path, **settings: Any) -> DomainConfig:
    values = {"name": "arrays", "root": str(root), "cache": str(cache), "image_size": 8}
    return DomainConfig(**(values | settings))


def numbered(folder: Path, name: str, per_class: int = 10, first: int = 0) -> Path:
    """Images of one grey value each, which tells them apart."""
    labels = np.tile(np.arange(3), per_class)
    values = np.arange(first, first + len(labels), dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None], (len(labels), 8, 8))
    path = folder / name
    np.savez(path, images=images, labels=labels.astype(np.uint8))
    return path


def values(examples: Examples, part: Part) -> set[int]:
    everything = examples.images(part, np.arange(examples.count(part)))
    return {round(255 * v) for v in everything[:, 0, 0, 0].tolist()}


def test_a_random_division_has_all_classes_in_each_part_and_no_image_twice(
    tmp_path: Path,
) -> None:
    root = numbered(tmp_path, "all.npz")
    examples = open_examples(domain(root, tmp_path / "cache", division="random"))
    parts = {part: values(examples, part) for part in PARTS}
    assert [len(part) for part in parts.values()] == [21, 3, 6]
    assert set.union(*parts.values()) == set(range(30))
    for part in PARTS:
        assert set(examples.labels(part)) == {0, 1, 2}
        shown = examples.images(part, np.arange(examples.count(part)))[:, 0, 0, 0]
        labels = [round(255 * float(v)) % 3 for v in shown]
        assert labels == examples.labels(part).tolist()


def test_the_division_depends_on_its_seed_alone(tmp_path: Path) -> None:
    root, cache = numbered(tmp_path, "all.npz"), tmp_path / "cache"
    one, again, other = (
        open_examples(domain(root, cache, division="random", division_seed=seed))
        for seed in (1, 1, 2)
    )
    assert values(one, "test") == values(again, "test") != values(other, "test")


def test_published_parts_are_kept_and_validation_is_cut_from_training(tmp_path: Path) -> None:
    numbered(tmp_path, "x_train.npz")
    numbered(tmp_path, "x_test.npz", per_class=5, first=100)
    numbered(tmp_path, "other.npz", per_class=5, first=200)
    examples = open_examples(domain(tmp_path / "x_*.npz", tmp_path / "cache"))
    assert values(examples, "test") == set(range(100, 115))
    assert values(examples, "train") | values(examples, "val") == set(range(30))
    assert examples.describe() == {"train": 27, "val": 3, "test": 15}
    assert examples.class_names == ("0", "1", "2")


def test_a_zip_of_train_and_test_folders(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for part, count in (("train", 6), ("valid", 2), ("test", 3)):
            for name, colour in (("cat", (250, 0, 0)), ("dog", (0, 0, 250))):
                for i in range(count):
                    data = io.BytesIO()
                    Image.new("RGB", (8, 8), colour).save(data, "PNG")
                    archive.writestr(f"{part}/{name}/{i}.png", data.getvalue())
    config = domain(tmp_path / "set.zip", tmp_path / "cache", name="folder", channels=1)
    examples = open_examples(config)
    assert examples.describe() == {"train": 12, "val": 4, "test": 6}
    assert examples.class_names == ("cat", "dog")
    assert examples.input_shape == (1, 8, 8)
    red = examples.images("test", np.array([0]))
    torch.testing.assert_close(red, torch.full_like(red, 0.299 * 250 / 255))


def test_few_labels_are_the_first_of_more(tmp_path: Path) -> None:
    root, cache = numbered(tmp_path, "all.npz"), tmp_path / "cache"
    few, more, full = (
        open_examples(domain(root, cache, division="random", labels_per_class=n))
        for n in (2, 4, None)
    )
    assert values(few, "train") < values(more, "train") < values(full, "train")
    assert np.bincount(few.labels("train")).tolist() == [2, 2, 2]
    assert values(few, "test") == values(full, "test")
    assert values(few.without_label_limit(), "train") == values(full, "train")


@pytest.mark.parametrize(
    ("settings", "files", "sentence"),
    [
        ({}, ["all.npz"], "publishes no parts, and not both train and test"),
        ({}, ["a.npz", "b.npz"], "do not say which is train, val or test"),
        ({}, [], "does not hold images in arrays"),
        ({"division": "random", "val_share": 0.6, "test_share": 0.3}, ["all.npz"], "no images"),
    ],
)
def test_what_cannot_be_divided_is_refused(
    tmp_path: Path, settings: dict[str, Any], files: list[str], sentence: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in files:
        numbered(data, name, per_class=1 if settings else 10)
    with pytest.raises(InputError, match=sentence):
        open_examples(domain(data, tmp_path / "cache", **settings))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": np.zeros((3, 8, 8), np.uint8)}, "cannot read images and labels"),
        ({"images": np.zeros((3, 8, 8)), "labels": np.zeros(3, int)}, "has images of float64"),
        ({"images": np.zeros((3, 8, 8), np.uint8), "labels": np.zeros(2, int)}, "has labels of"),
        (
            {"images": np.zeros((3, 8, 8), np.uint8), "labels": np.array([{}] * 3)},
            "cannot read images and labels",
        ),
    ],
)
def test_arrays_of_another_form_are_refused(
    tmp_path: Path, arrays: dict[str, Any], sentence: str
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=sentence):
        open_examples(domain(tmp_path / "bad.npz", tmp_path / "cache", division="random"))


def test_classes_that_a_meta_test_holds_back_can_be_left_out(tmp_path: Path) -> None:
    """The very classes of `metaray train`, under labels without gaps, and all their images."""
    settings = {"num_classes": 12, "cache": str(tmp_path), "image_size": 8}
    whole = open_examples(DomainConfig.model_validate(settings))
    part = open_examples(DomainConfig.model_validate(settings | {"split": "random"}))
    data = DataConfig.model_validate(settings | {"name": "glyphs", "split": "random"})
    kept = splits_of(whole.store, data)["train"]
    names = {whole.store.header.class_names[c] for c in kept}
    assert set(part.class_names) == names < set(whole.class_names)
    assert set(part.labels("test")) == set(range(len(names)))
    for label, name in enumerate(part.class_names):
        mine = part.images("test", np.flatnonzero(part.labels("test") == label))
        own = whole.store.images(whole.store.header.class_names.index(name))
        assert {x.tobytes() for x in (255 * mine).round().to(torch.uint8).numpy()} <= {
            x.tobytes() for x in own
        }


def test_domains_must_have_the_same_classes(tmp_path: Path) -> None:
    three = domain(numbered(tmp_path, "all.npz"), tmp_path / "cache", division="random")
    glyphs = DomainConfig(num_classes=3, cache=str(tmp_path / "cache"), image_size=8)
    with pytest.raises(InputError, match=r"3 and 3 classes \(only the source has 0, 1, 2; only"):
        check_same_classes(open_examples(three), open_examples(glyphs))


def test_arrays_serve_episodes_with_the_images_of_all_files(tmp_path: Path) -> None:
    numbered(tmp_path, "x_train.npz")
    numbered(tmp_path, "x_test.npz", per_class=5, first=100)
    root = tmp_path / "x_*.npz"
    data = DataConfig(name="arrays", root=str(root), cache=str(tmp_path), image_size=8)
    source = build_source(data)
    assert source.num_classes("train") == source.num_classes("test") == 1


def test_each_pass_is_a_permutation() -> None:
    stream = batches.Stream(num_examples=10, batch_size=4, seed=0, domain=0)
    seen = np.concatenate([stream.batch(step) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()
    other = batches.Stream(num_examples=10, batch_size=4, seed=0, domain=1)
    assert other.batch(0).tolist() != stream.batch(0).tolist()


@pytest.mark.parametrize(("batch", "size"), [(64, 32), (65, 32), (7, 3), (3, 8), (33, 32)])
def test_shards_cover_the_batch_evenly(batch: int, size: int) -> None:
    bounds = batches.shard_bounds(batch, size)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == batch
    assert all(end == begin for (_, end), (begin, _) in pairwise(bounds))
    sizes = [end - begin for begin, end in bounds]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


def test_random_numbers_of_different_purposes_differ() -> None:
    keys = {int(batches.drop_key(0, step, shard)) for step in range(5) for shard in range(5)}
    keys |= {
        batches.augmentation(0, step, place, view).initial_seed()
        for step in range(5)
        for place in range(5)
        for view in range(2)
    }
    assert len(keys) == 25 + 50
