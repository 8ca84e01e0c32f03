"""miniImageNet in both of its forms."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import prepare, splits_of
from metaray.algorithms.tasks.store import ImageStore

CLASSES = {
    "train": ["n01532829", "n01558993"],
    "val": ["n01855672"],
    "test": ["n01930112", "n01981276"],
}
PER_CLASS = 4


def pixels(wnid: str, number: int) -> np.ndarray:
    seed = int(wnid[1:]) + number
    return np.random.default_rng(seed).integers(0, 256, (84, 84, 3), np.uint8)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """CSV lists as published; images as PNG, which keep every bit."""
    root = tmp_path / "listed"
    (root / "images").mkdir(parents=True)
    for split, classes in CLASSES.items():
        lines = ["filename,label"]
        for wnid in reversed(classes):
            for number in range(PER_CLASS):
                name = f"{wnid}{number:08d}.jpg"
                Image.fromarray(pixels(wnid, number)).save(root / "images" / name, "PNG")
                lines.append(f"{name},{wnid}")
        (root / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    root = tmp_path / "pickled"
    root.mkdir()
    for split, classes in CLASSES.items():
        images = [pixels(wnid, n) for wnid in classes for n in range(PER_CLASS)]
        indices = {w: list(range(i * 4, i * 4 + 4)) for i, w in enumerate(classes)}
        content = {"image_data": np.stack(images), "class_dict": indices}
        (root / f"mini-imagenet-cache-{split}.pkl").write_bytes(pickle.dumps(content, 2))
    return root


def config(root: Path, tmp_path: Path, **settings: Any) -> DataConfig:
    cache = str(tmp_path / "cache")
    return DataConfig(name="miniimagenet", root=str(root), cache=cache, **settings)


def test_both_forms_give_the_same_images(listed: Path, pickled: Path, tmp_path: Path) -> None:
    stores = [ImageStore.open(prepare(config(r, tmp_path))) for r in (listed, pickled)]
    assert stores[0].path != stores[1].path
    for store in stores:
        names = [w for split in ("train", "val", "test") for w in CLASSES[split]]
        assert list(store.header.class_names) == names
        for class_id, wnid in enumerate(names):
            expected = np.stack([pixels(wnid, n).transpose(2, 0, 1) for n in range(PER_CLASS)])
            np.testing.assert_array_equal(store.images(class_id), expected)
        splits = splits_of(store, config(listed, tmp_path))
        assert splits == {"train": (0, 1), "val": (2,), "test": (3, 4)}
    assert stores[0].header.sha256 == stores[1].header.sha256


def test_images_are_resized(listed: Path, tmp_path: Path) -> None:
    store = ImageStore.open(prepare(config(listed, tmp_path, image_size=20)))
    assert store.images(0).shape == (PER_CLASS, 3, 20, 20)
    expected = Image.fromarray(pixels("n01532829", 0)).resize((20, 20), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(store.images(0)[0], np.asarray(expected).transpose(2, 0, 1))


def first_image(root: Path) -> Path:
    return root / "images" / "n0153282900000000.jpg"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda r: first_image(r).unlink(), "cannot read .*n0153282900000000.jpg .No such file"),
        (lambda r: first_image(r).write_bytes(b"x"), "is not an image that can be decoded"),
        (
            lambda r: first_image(r).write_bytes(first_image(r).read_bytes()[:9000]),
            "n0153282900000000.jpg of class n01532829 is not an image",
        ),
        (lambda r: (r / "val.csv").write_text("name,label\n"), "no columns filename and label"),
        (lambda r: (r / "val.csv").write_text("filename,label\n"), "lists no images"),
        (lambda r: (r / "val.csv").write_text("filename,label\na.jpg\n"), "line 2 .*is incomplete"),
        (lambda r: (r / "val.csv").write_bytes(b"\xff\xfe\x00"), "cannot read .*val.csv"),
        (
            lambda r: (r / "val.csv").write_text((r / "test.csv").read_text()),
            "class n01930112 is both in val and in test",
        ),
        (lambda r: (r / "val.csv").unlink(), "does not hold miniImageNet .*meta-learning-lstm"),
    ],
)
def test_spoilt_folder(listed: Path, tmp_path: Path, spoil: Any, said: str) -> None:
    spoil(listed)
    with pytest.raises(InputError, match=said):
        prepare(config(listed, tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1], "no image_data and class_dict"),
        ({"image_data": np.zeros((4, 84, 84, 3)), "class_dict": {"a": [0]}}, "found float64"),
        ({"image_data": np.zeros((4, 84, 84, 3), np.uint8), "class_dict": [0]}, "no dict of"),
        ({"image_data": np.zeros((4, 84, 84, 3), np.uint8), "class_dict": {"a": [9]}}, "indices"),
        (
            {"image_data": np.zeros((4, 84, 84, 3), np.uint8), "class_dict": {"a": "x"}},
            "no array of",
        ),
        (
            {"image_data": np.zeros((4, 84, 84, 3), np.uint8), "class_dict": {"a": []}},
            "no images",
        ),
    ],
)
def test_spoilt_pickle(pickled: Path, tmp_path: Path, content: Any, said: str) -> None:
    (pickled / "mini-imagenet-cache-val.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=said):
        prepare(config(pickled, tmp_path))


def test_pickle_that_runs_code_or_is_cut(pickled: Path, tmp_path: Path) -> None:
    path = pickled / "mini-imagenet-cache-train.pkl"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="train.pkl is truncated or not a pickle"):
        prepare(config(pickled, tmp_path))
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match="asks for os.system"):
        prepare(config(pickled, tmp_path))
