"""A CSV of pictures and labels in the place of a folder of class folders."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source, prepare
from metaray.algorithms.tasks.folder_survey import survey
from metaray.algorithms.tasks.image_episodes import ImageEpisodes
from metaray.algorithms.tasks.picture_list import ListTree


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures in two folders that say nothing of their class, of six classes."""
    rng = np.random.default_rng(0)
    lines = ["path,label"]
    for number in range(24):
        file = tmp_path / ("old" if number % 2 else "new") / f"{number // 2}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(file)
        lines.append(f"{file.parent.name}/{file.name},kind {number % 6}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


def data(photos: Path, **more: object) -> DataConfig:
    settings = {
        "name": "folder", "root": str(photos / "labels.csv"), "image_size": 16,
        "cache": str(photos / "cache"), **more,
    }  # fmt: skip
    return DataConfig.model_validate(settings)


def test_it_is_read_as_a_folder_for_each_label(photos: Path) -> None:
    source = build_source(data(photos))
    assert isinstance(source, ImageEpisodes)
    names = [f"kind {n}" for n in range(6)]
    assert list(source.store.header.class_names) == names
    by_hand = photos / "folders"
    for line in (photos / "labels.csv").read_text().splitlines()[1:]:
        path, label = line.split(",")
        (by_hand / label).mkdir(parents=True, exist_ok=True)
        target = by_hand / label / path.replace("/", "-")
        target.write_bytes((photos / path).read_bytes())
    same = build_source(data(photos, root=str(by_hand)))
    assert isinstance(same, ImageEpisodes)
    for number in range(6):
        one, other = (s.store.images(number) for s in (source, same))
        assert sorted(x.tobytes() for x in one) == sorted(x.tobytes() for x in other)
    found = survey(photos / "labels.csv")
    assert found.counts == dict.fromkeys(names, 4)


def test_its_identity_follows_the_content_of_the_pictures(photos: Path) -> None:
    first = prepare(data(photos))
    assert prepare(data(photos)) == first
    Image.new("RGB", (20, 20), "red").save(photos / "new" / "0.png")
    assert prepare(data(photos)) != first


def test_it_can_be_pickled(photos: Path) -> None:
    tree = ListTree(photos / "labels.csv")
    again = pickle.loads(pickle.dumps(tree))
    assert again.names() == tree.names()
    assert all(again.read(name) == tree.read(name) for name in tree.names())


def test_what_is_wrong_is_said(photos: Path) -> None:
    file = photos / "labels.csv"
    lines = file.read_text()
    file.write_text(lines + "\nold/0.png,")
    with pytest.raises(InputError, match=r"has no label for old/0.png: write path,label"):
        build_source(data(photos))
    file.write_text(lines + "\nold/99.png,kind 0")
    with pytest.raises(InputError, match=r"lists old/99.png, and there is no such file"):
        build_source(data(photos))
    file.write_text("path,label\n")
    with pytest.raises(InputError, match="lists no pictures"):
        survey(file)
