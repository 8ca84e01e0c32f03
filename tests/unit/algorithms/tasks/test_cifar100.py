"""CIFAR-FS and FC100 from CIFAR-100's own files, written as Python 2 published them."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source, prepare, splits_of
from metaray.algorithms.tasks.store import ImageStore

SUPERCLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}
FINE = sorted(name for names in SUPERCLASSES.values() for name in names.split())
COARSE = sorted(SUPERCLASSES)
GROUP = {name: group for group, names in SUPERCLASSES.items() for name in names.split()}
EVIL = b"cos\nsystem\n(S'touch escaped'\ntR."


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Text and bytes as strings of Python 2, which is how CIFAR-100 was written."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_string(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        short = len(data) < 256
        head = b"U" + bytes([len(data)]) if short else b"T" + struct.pack("<i", len(data))
        self.write(head + data)
        self.memoize(text)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


def python2_pickle(content: Any) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def images(part: str, per_class: int) -> tuple[list[int], np.ndarray]:
    """Labels in mixed order, and rows of pixels that tell class, part and number."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(100), per_class))
    rng = np.random.default_rng(1 if part == "train" else 2)
    data = rng.integers(0, 256, (len(labels), 3072), np.uint8)
    data[:, 0] = labels
    data[:, 1024] = part == "test"
    return labels.tolist(), data


def part_file(part: str, per_class: int) -> bytes:
    labels, data = images(part, per_class)
    content = {
        "filenames": [f"{FINE[label]}_{i}.png" for i, label in enumerate(labels)],
        "batch_label": "training batch 1 of 1",
        "fine_labels": labels,
        "coarse_labels": [COARSE.index(GROUP[FINE[label]]) for label in labels],
        "data": data,
    }
    return python2_pickle(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "raw" / "cifar-100-python"
    folder.mkdir(parents=True)
    meta = {"fine_label_names": FINE, "coarse_label_names": COARSE}
    (folder / "meta").write_bytes(python2_pickle(meta))
    (folder / "train").write_bytes(part_file("train", 3))
    (folder / "test").write_bytes(part_file("test", 2))
    return folder.parent


@pytest.fixture
def archive(root: Path, tmp_path: Path) -> Path:
    path = tmp_path / "archive" / "cifar-100-python.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(root / "cifar-100-python", "cifar-100-python")
    return path


def config(root: Path, tmp_path: Path, name: str = "cifar_fs", **settings: Any) -> DataConfig:
    cache = str(tmp_path / "cache")
    return DataConfig(name=name, root=str(root), cache=cache, **settings)  # type: ignore[arg-type]


def test_the_fixture_is_a_pickle_of_python_2(root: Path) -> None:
    """Pickled by Python 2 are strings and not bytes, and names of numpy before its version 2."""
    data = (root / "cifar-100-python" / "train").read_bytes()
    assert b"cnumpy.core.multiarray\n_reconstruct" in data
    assert b"_codecs" not in data
    assert data.startswith(b"\x80\x02")


def test_every_image_is_with_its_class(root: Path, tmp_path: Path) -> None:
    store = ImageStore.open(prepare(config(root, tmp_path)))
    assert list(store.header.class_names) == FINE
    assert list(store.header.class_groups) == [GROUP[name] for name in FINE]
    assert store.header.image_shape == (3, 32, 32)
    labels, data = images("train", 3)
    for class_id in range(100):
        stored = store.images(class_id)
        assert stored[:, 0, 0, 0].tolist() == [class_id] * 5
        assert stored[:, 1, 0, 0].tolist() == [0, 0, 0, 1, 1]  # train, then test
        np.testing.assert_array_equal(stored[0].reshape(-1), data[labels.index(class_id)])


def test_archive_and_folders_are_the_same_and_nothing_is_extracted(
    root: Path, archive: Path, tmp_path: Path
) -> None:
    places = (root, root / "cifar-100-python", archive, archive.parent)
    stores = [ImageStore.open(prepare(config(place, tmp_path))) for place in places]
    assert len({store.header.sha256 for store in stores}) == 1
    assert list(archive.parent.iterdir()) == [archive]


def test_the_published_splits(root: Path, tmp_path: Path) -> None:
    fs, fc = config(root, tmp_path), config(root, tmp_path, "fc100")
    store = ImageStore.open(prepare(fs))
    assert prepare(fc) == store.path  # the same images
    by_list, by_group = splits_of(store, fs), splits_of(store, fc)
    assert [len(by_list[s]) for s in ("train", "val", "test")] == [64, 16, 20]
    assert [len(by_group[s]) for s in ("train", "val", "test")] == [60, 20, 20]
    assert {FINE[c] for c in by_list["test"]} >= {"whale", "rocket", "baby", "worm"}
    assert {GROUP[FINE[c]] for c in by_group["test"]} == {
        "aquatic_mammals", "insects", "medium_mammals", "people",
    }  # fmt: skip
    assert {GROUP[FINE[c]] for c in by_group["val"]} == {
        "large_carnivores", "large_omnivores_and_herbivores", "non-insect_invertebrates",
        "small_mammals",
    }  # fmt: skip


def test_a_image_in_two_parts_of_a_published_split_is_no_error(root: Path, tmp_path: Path) -> None:
    labels, data = images("train", 3)
    data[labels.index(FINE.index("whale"))] = data[labels.index(FINE.index("dolphin"))]
    content = {
        "fine_labels": labels,
        "coarse_labels": [COARSE.index(GROUP[FINE[label]]) for label in labels],
        "data": data,
    }
    (root / "cifar-100-python/train").write_bytes(python2_pickle(content))
    data_config = config(root, tmp_path)
    assert ImageStore.open(prepare(data_config)).header.shared_images
    assert build_source(data_config).kind == "classification"


@pytest.mark.parametrize(
    ("part", "content", "said"),
    [
        ("train", EVIL, "asks for os.system, which could run code"),
        ("train", b"", "truncated or not a pickle"),
        ("meta", pickle.dumps({"fine_label_names": FINE}), "no coarse_label_names"),
        ("meta", pickle.dumps([1]), "no fine_label_names"),
        (
            "meta",
            pickle.dumps({"fine_label_names": FINE[:5], "coarse_label_names": COARSE}),
            "5 classes and 20 superclasses",
        ),
        (
            "test",
            pickle.dumps(
                {"data": np.zeros((2, 9), np.uint8), "fine_labels": [0, 1], "coarse_labels": [0, 1]}
            ),
            r"expected uint8 data \[n, 3072\]",
        ),
        (
            "test",
            pickle.dumps(
                {"data": np.zeros((1, 3072), np.uint8), "fine_labels": [7], "coarse_labels": [20]}
            ),
            "with as many labels",
        ),
        (
            "test",
            pickle.dumps(
                {"data": np.zeros((0, 3072), np.uint8), "fine_labels": [], "coarse_labels": []}
            ),
            "with 0 labels",
        ),
    ],
)
def test_spoilt_files(
    root: Path, tmp_path: Path, part: str, content: bytes, said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (root / "cifar-100-python" / part).write_bytes(content)
    with pytest.raises(InputError, match=said):
        prepare(config(root, tmp_path))
    assert not (tmp_path / "escaped").exists()


def test_truncated_files_and_archive(root: Path, archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"truncated or not cifar-100-python\.tar\.gz"):
        prepare(config(archive, tmp_path))
    train = root / "cifar-100-python" / "train"
    train.write_bytes(train.read_bytes()[:-2000])
    with pytest.raises(InputError, match="train is truncated"):
        prepare(config(root, tmp_path))


def test_missing_data_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not hold CIFAR-100 .*www\.cs\.toronto\.edu"):
        prepare(config(tmp_path, tmp_path))
