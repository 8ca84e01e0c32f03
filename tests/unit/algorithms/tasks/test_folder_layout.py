"""Which files of a folder are images of which class, and what is said of the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.folder import Folder
from metaray.algorithms.tasks.folder_layout import HIDDEN, NO_IMAGE, STRAY, UNREAD, read_layout
from metaray.platform.cli.main import app


def classes(*names: str, by_part: bool = False) -> list[str]:
    return list(read_layout(names, by_part).classes)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"), ("Training", "Testing"), ("TRAIN", "TEST"), ("train_set", "test_set"),
        ("training-data", "testing-data"), ("trainset", "testset"), ("train2017", "test2017"),
        ("Train Images", "Test Images"),
    ],
)  # fmt: skip
def test_the_usual_names_of_parts_are_known(train: str, test: str) -> None:
    names = [f"{part}/{animal}/1.jpg" for part in (train, test) for animal in ("cat", "dog")]
    assert sorted(classes(*names)) == ["cat", "dog"]
    assert sorted(classes(*names, by_part=True)) == [
        "test/cat", "test/dog", "train/cat", "train/dog",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["Validation", "valid", "val_data", "dev"])
def test_so_are_those_of_validation(name: str) -> None:
    found = classes(f"{name}/cat/1.jpg", "train/cat/1.jpg", by_part=True)
    assert sorted(found) == ["train/cat", "val/cat"]


def test_a_class_may_have_the_name_of_a_part() -> None:
    assert classes("test/1.jpg", "training/1.jpg", "cat/1.jpg") == ["cat", "test", "training"]


def test_every_suffix_of_jpeg_counts() -> None:
    layout = read_layout(["cat/1.jfif", "cat/2.jpe", "cat/3.JPG", "cat/4.jpeg"])
    assert len(layout.classes["cat"]) == 4
    assert layout.left_out == {}


def test_a_cover_is_no_class_and_renames_none() -> None:
    pets = [f"pets/{animal}/{i}.jpg" for animal in ("cat", "dog") for i in range(3)]
    layout = read_layout(["readme.jpg", "pets/cover.jpg", *pets])
    assert list(layout.classes) == ["cat", "dog"]
    assert sorted(layout.left_out[STRAY]) == ["pets/cover.jpg", "readme.jpg"]


def test_a_class_may_have_folders_of_more_images() -> None:
    names = [*(f"cat/{i}.jpg" for i in range(9)), "cat/kittens/1.jpg", "dog/1.jpg"]
    assert classes(*names) == ["cat", "cat/kittens", "dog"]


def test_folders_of_systems_are_no_classes() -> None:
    names = ["cat/1.jpg", "cat/@eaDir/1.jpg", "@eaDir/cat/1.jpg", "__MACOSX/cat/1.jpg", ".t/1.jpg"]
    layout = read_layout([*names, "cat/Thumbs.db", "cat/notes.txt", "cat/2.heic"])
    assert layout.classes == {"cat": ["cat/1.jpg"]}
    assert {reason: len(found) for reason, found in layout.left_out.items()} == {
        HIDDEN: 5, NO_IMAGE: 1, UNREAD: 1,
    }  # fmt: skip
    assert "left out, no image: 1 file (cat/notes.txt)" in layout.sentences()


def test_a_class_that_vanishes_is_an_error() -> None:
    with pytest.raises(InputError, match=r"class dog has no image .*, and 2 of other formats"):
        read_layout(["cat/1.jpg", "dog/1.HEIC", "dog/2.heic"])


def test_linked_folders_are_classes_and_loops_end(tmp_path: Path) -> None:
    for name in ("pets/cat/1.jpg", "pets/dog/1.jpg", "elsewhere/bird/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    pets = tmp_path / "pets"
    (pets / "bird").symlink_to(tmp_path / "elsewhere" / "bird")
    (pets / "cat" / "again").symlink_to(pets)
    files = Folder().raw_files(pets, DataConfig(name="folder", root=str(pets)))
    assert files is not None
    assert sorted(files) == ["bird/1.jpg", "cat/1.jpg", "dog/1.jpg"]


def test_a_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its class would vanish. (Root may read every folder, so the system is asked for no.)"""
    (tmp_path / "cat").mkdir()
    scandir = os.scandir

    def refusing(path: Path) -> Any:
        if Path(path).name == "cat":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match="cannot read the folder .*cat"):
        Folder().raw_files(tmp_path, DataConfig(name="folder", root=str(tmp_path)))


def test_prepare_says_what_it_left_out(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for animal in range(5):
        for i in range(2):
            path = root / f"animal{animal}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (50 * animal, 100 * i, 9)).save(path)
    (root / "animal0" / "notes.txt").touch()
    Image.new("RGB", (8, 8)).save(root / "cover.png")
    where = ["--root", str(root), "--cache", str(tmp_path / "cache")]
    done = CliRunner().invoke(app, ["data", "prepare", "folder", *where])
    assert done.exit_code == 0, done.output
    assert "left out, no image: 1 file (animal0/notes.txt)" in done.output
    assert "left out, an image beside class folders: 1 file (cover.png)" in done.output
