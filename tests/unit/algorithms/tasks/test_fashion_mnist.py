"""Fashion-MNIST from its IDX files: small ones, and Debian's."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import prepare, publishes_parts, splits_of
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.transfer.domain_config import DomainConfig
from metaray.algorithms.transfer.examples import open_examples

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    content = head + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_set(root: Path, ending: str = ".gz") -> Path:
    """Six pictures of each class for training, two for the test; pixels tell class and number."""
    root.mkdir(parents=True)
    for prefix, count in (("train", 60), ("t10k", 20)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 0, 0], images[:, 0, 1] = labels, np.arange(count)
        images[:, 0, 2] = prefix == "t10k"
        write_idx(root / f"{prefix}-images-idx3-ubyte{ending}", images)
        write_idx(root / f"{prefix}-labels-idx1-ubyte{ending}", labels)
    return root


def config(root: Path, tmp_path: Path) -> DataConfig:
    return DataConfig(name="fashion_mnist", root=str(root), cache=str(tmp_path / "cache"))


@pytest.mark.parametrize("ending", [".gz", ""])
def test_few_shot_learning_divides_the_ten_classes(tmp_path: Path, ending: str) -> None:
    data = config(write_set(tmp_path / "raw", ending), tmp_path)
    store = ImageStore.open(prepare(data))
    assert store.header.class_names[:2] == ("t-shirt", "trouser")
    assert store.images(3).shape == (8, 1, 28, 28)
    assert set(store.images(3)[:, 0, 0, 0]) == {3}
    assert [len(part) for part in splits_of(store, data).values()] == [6, 2, 2]
    assert store.header.made_of is not None
    assert "Zalando SE, MIT" in store.header.made_of.attribution()[0]


def test_jobs_keep_the_published_parts(tmp_path: Path) -> None:
    root = write_set(tmp_path / "raw")
    domain = DomainConfig(name="fashion_mnist", root=str(root), cache=str(tmp_path / "cache"))
    assert domain.division == "published"
    assert publishes_parts(domain.stored())
    examples = open_examples(domain)
    assert "ankle-boot" in examples.class_names
    assert examples.describe() == {"train": 50, "val": 10, "test": 20}
    pixels = examples.images("test", np.arange(20))
    assert (pixels[:, 0, 0, 2] * 255 == 1).all()


def test_a_missing_set_names_its_package(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="apt-get install dataset-fashion-mnist"):
        prepare(config(tmp_path / "nothing", tmp_path))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "its first bytes are missing"),
        (b"PK\3\4", "its first bytes are 504b0304"),
        (bytes((0, 0, 8, 1)) + struct.pack(">I", 2**31) + b"\0", "holds 1 bytes for 2147483648"),
        (bytes((0, 0, 8, 1)) + struct.pack(">I", 3) + b"\0\1\2", "3 labels up to 2 for 60 images"),
        (bytes((0, 0, 8, 1)) + struct.pack(">I", 60) + b"\x0a" * 60, "labels up to 10"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes, sentence: str) -> None:
    root = write_set(tmp_path / "raw", "")
    (root / "train-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(sentence)):
        prepare(config(root, tmp_path))


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_debians_package(tmp_path: Path) -> None:
    domain = DomainConfig(name="fashion_mnist", cache=str(tmp_path))
    examples = open_examples(domain)
    assert examples.describe() == {"train": 54_000, "val": 6_000, "test": 10_000}
    assert examples.input_shape == (1, 28, 28)
