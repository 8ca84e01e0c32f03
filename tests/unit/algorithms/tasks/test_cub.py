"""CUB-200-2011 in its own layout, unpacked and as the archive."""

from __future__ import annotations

import gzip
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import prepare, splits_of
from metaray.algorithms.tasks.cub import Cub
from metaray.algorithms.tasks.store import ImageStore

NUM_CLASSES = 9
PER_CLASS = 3


def class_name(class_id: int) -> str:
    return f"{class_id:03d}.Bird_{chr(96 + class_id)}"


def image(image_id: int) -> np.ndarray:
    """Grey noise, and within the bounding box one colour that tells the image."""
    pixels = np.random.default_rng(image_id).integers(90, 110, (40, 60, 3), np.uint8)
    left, top, width, height = box(image_id)
    pixels[top : top + height, left : left + width] = (200, 3 * image_id, 10)
    return pixels


def box(image_id: int) -> tuple[int, int, int, int]:
    return 10 + image_id, 5, 20, 16


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "raw" / "CUB_200_2011"
    images, labels, boxes, classes = [], [], [], []
    image_id = 0
    for class_id in range(1, NUM_CLASSES + 1):
        classes.append(f"{class_id} {class_name(class_id)}")
        (folder / "images" / class_name(class_id)).mkdir(parents=True)
        for number in range(PER_CLASS):
            image_id += 1
            name = f"{class_name(class_id)}/Bird_{number:04d}.jpg"
            Image.fromarray(image(image_id)).save(folder / "images" / name, "PNG")
            images.append(f"{image_id} {name}")
            labels.append(f"{image_id} {class_id}")
            boxes.append(f"{image_id} " + " ".join(f"{float(v)}" for v in box(image_id)))
    tables = {
        "images": images,
        "image_class_labels": labels,
        "bounding_boxes": boxes,
        "classes": classes,
    }
    for name, lines in tables.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder.parent


@pytest.fixture
def archive(root: Path, tmp_path: Path) -> Path:
    """With a link that leads out of the archive, which must be passed over."""
    (root / "CUB_200_2011" / "link.txt").symlink_to("/etc/passwd")
    path = tmp_path / "archive" / "CUB_200_2011.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(root / "CUB_200_2011", "CUB_200_2011")
    return path


def config(root: Path, tmp_path: Path, **settings: Any) -> DataConfig:
    given = {"image_size": 16, "cache": str(tmp_path / "cache")} | settings
    return DataConfig(name="cub", root=str(root), **given)


def test_layouts_give_the_same(root: Path, archive: Path, tmp_path: Path) -> None:
    places = (root, root / "CUB_200_2011", archive, archive.parent)
    stores = [ImageStore.open(prepare(config(place, tmp_path))) for place in places]
    assert len({store.header.sha256 for store in stores}) == 1
    store = stores[0]
    assert list(store.header.class_names) == [class_name(c) for c in range(1, NUM_CLASSES + 1)]
    assert store.images(4).shape == (PER_CLASS, 3, 16, 16)
    # nothing is left of the archive but the prepared file
    left = [p for p in (tmp_path / "cache").iterdir() if p.name != ".identities"]
    assert {p.suffix for p in left} == {".arrow"}


def test_classes_of_the_archive_can_be_sent_to_another_process(
    archive: Path, tmp_path: Path
) -> None:
    with Cub().open_classes(archive, config(archive, tmp_path), tmp_path / "scratch") as classes:
        sent = pickle.loads(pickle.dumps(classes[3]))
        np.testing.assert_array_equal(sent.load().images, classes[3].load().images)


def test_the_bounding_box_is_what_is_left(root: Path, tmp_path: Path) -> None:
    whole = prepare(config(root, tmp_path))
    store = ImageStore.open(prepare(config(root, tmp_path, bbox_crop=True)))
    assert store.path != whole
    for class_id in range(NUM_CLASSES):
        for number in range(PER_CLASS):
            image_id = class_id * PER_CLASS + number + 1
            colours = store.images(class_id)[number].reshape(3, -1)
            assert (colours == np.array([[200], [3 * image_id], [10]])).all()


def test_the_split_of_chen_et_al(root: Path, tmp_path: Path) -> None:
    data = config(root, tmp_path)
    splits = splits_of(ImageStore.open(prepare(data)), data)
    assert splits == {"train": (0, 2, 4, 6, 8), "val": (1, 5), "test": (3, 7)}


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda r: (r / "classes.txt").unlink(), "does not hold CUB-200-2011 .*caltech.edu"),
        (lambda r: (r / "classes.txt").write_text(""), "classes.txt in .* is empty"),
        (lambda r: (r / "images.txt").write_text("1"), "line 1 of images.txt .* is incomplete"),
        (
            lambda r: rewrite(r / "image_class_labels.txt", "5 2\n", "5 77\n"),
            "image 5 .*no class",
        ),
        (lambda r: rewrite(r / "bounding_boxes.txt", "5 15.0", "5 wide"), "not four numbers"),
        (lambda r: rewrite(r / "bounding_boxes.txt", "5 15.0", "5 99.0"), "lies outside of it"),
        (
            lambda r: (r / "images/002.Bird_b/Bird_0001.jpg").write_bytes(b"\x89PNG"),
            "Bird_0001.jpg of class 002.Bird_b is not an image",
        ),
        (
            lambda r: (r / "images/002.Bird_b/Bird_0001.jpg").unlink(),
            "cannot read .*Bird_0001.jpg .No such file",
        ),
    ],
)
def test_spoilt_layout(root: Path, tmp_path: Path, spoil: Any, said: str) -> None:
    spoil(root / "CUB_200_2011")
    with pytest.raises(InputError, match=said):
        prepare(config(root, tmp_path, bbox_crop=True))


def test_two_preparations_at_once_of_which_one_clears_up(archive: Path, tmp_path: Path) -> None:
    data = config(archive, tmp_path)
    done: list[Path] = []

    def progress(*_: int) -> None:
        if not done:
            done.append(prepare(data))

    assert [prepare(data, progress)] == done
    left = [p for p in (tmp_path / "cache").iterdir() if p.name != ".identities"]
    assert left == done


def test_spoilt_archive(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-200])
    with pytest.raises(InputError, match="CUB_200_2011.tgz is truncated or not a tgz"):
        prepare(config(archive, tmp_path))
    archive.write_bytes(b"no archive")
    with pytest.raises(InputError, match="CUB_200_2011.tgz is truncated or not a tgz"):
        prepare(config(archive, tmp_path))
    archive.write_bytes(gzip.compress(b"no tar" * 1000))
    with pytest.raises(InputError, match="truncated or not a tar"):
        prepare(config(archive, tmp_path))
