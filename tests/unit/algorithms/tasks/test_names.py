"""Names of classes and files as Macs, Windows and old systems write them."""

from __future__ import annotations

import contextlib
import os
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source, open_store, splits_of
from metaray.algorithms.tasks.content import ContentHash, ImageClass
from metaray.algorithms.tasks.file_tree import ZipTree
from metaray.algorithms.tasks.folder import Folder

NAMES = ("école", "Bär", "猫", "cat😀", "dog")
COMPOSED = [unicodedata.normalize("NFC", name) for name in NAMES]
DECOMPOSED = [unicodedata.normalize("NFD", name) for name in NAMES]


def write_classes(root: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for index in range(2):
            image = np.full((8, 8), 20 * number + index, np.uint8)
            Image.fromarray(image).save(root / name / f"{index}.png")
    return root


def settings(root: Path, tmp_path: Path) -> DataConfig:
    return DataConfig(
        name="folder", root=str(root), cache=str(tmp_path / "cache"), image_size=8,
        split="lists", split_lists=str(tmp_path),
    )  # fmt: skip


def write_lists(folder: Path, names: list[str], encoding: str, newline: str = "\n") -> None:
    for split, part in (("train", names[:3]), ("val", names[3:4]), ("test", names[4:])):
        text = "".join(f"{name}{newline}" for name in part)
        (folder / f"{split}.txt").write_bytes(text.encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-sig"])
@pytest.mark.parametrize("listed", [COMPOSED, DECOMPOSED], ids=["composed", "decomposed"])
@pytest.mark.parametrize("stored", [COMPOSED, DECOMPOSED], ids=["as Linux", "as Mac"])
def test_lists_of_every_system(
    encoding: str, listed: list[str], stored: list[str], tmp_path: Path
) -> None:
    root = write_classes(tmp_path / "set", stored)
    if encoding == "utf-16-sig":  # big-endian, which Python writes without its mark
        for split, part in (("train", listed[:3]), ("val", listed[3:4]), ("test", listed[4:])):
            text = "\ufeff" + "\r\n".join(part)
            (tmp_path / f"{split}.txt").write_bytes(text.encode("utf-16-be"))
    else:
        write_lists(tmp_path, listed, encoding, "\r\n")
    data = settings(root, tmp_path)
    store = open_store(Folder(), data)
    splits = splits_of(store, data)
    names = store.header.class_names
    assert {names[c] for c in splits["train"]} == set(stored[:3])
    assert [names[c] for c in splits["test"]] == stored[4:]


def test_two_classes_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    names = [COMPOSED[0], DECOMPOSED[0], "a", "b"]
    root = write_classes(tmp_path / "set", names)
    for split, listed in (("train", names[0]), ("val", names[1]), ("test", "a")):
        (tmp_path / f"{split}.txt").write_text(listed, encoding="utf-8")
    data = settings(root, tmp_path)
    store = open_store(Folder(), data)
    names_of = store.header.class_names
    splits = splits_of(store, data)
    assert [names_of[c] for c in splits["train"]] == names[:1]
    assert [names_of[c] for c in splits["val"]] == names[1:2]


def test_a_list_in_an_old_encoding_is_one_sentence(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "set", COMPOSED)
    write_lists(tmp_path, ["école", "dog", "Bär", "dog", "dog"], "latin-1")
    with pytest.raises(
        InputError, match=r"cannot read the list of classes .*train.txt .* in UTF-8"
    ):
        build_source(settings(root, tmp_path))


def test_a_folder_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "set", ["a", "b", "c"])
    os.rename(root / "b", os.fsencode(root) + b"/caf\xe9")
    with pytest.raises(InputError, match=r"the name of class caf\\udce9 is not UTF-8: rename"):
        build_source(DataConfig(name="folder", root=str(root), cache=str(tmp_path / "cache")))


def test_no_data_set_can_have_such_a_class() -> None:
    images = np.zeros((1, 1, 8, 8), np.uint8)
    with pytest.raises(InputError, match="is not UTF-8"):
        ContentHash((1, 8, 8)).add(ImageClass("caf\udce9", "", images))


def test_a_zip_of_windows(tmp_path: Path) -> None:
    """Tools of .NET wrote backslashes for years."""
    source, path = write_classes(tmp_path / "set", ["a", "b", "c"]), tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("set\\", b"")
        for file in sorted(source.rglob("*.png")):
            archive.writestr("\\".join(("set", *file.parts[-2:])), file.read_bytes())
    data = DataConfig(image_size=8)
    with (
        Folder().open_classes(path, data, tmp_path) as zipped,
        Folder().open_classes(source, data, tmp_path) as plain,
    ):
        pairs = [(one.load(), other.load()) for one, other in zip(zipped, plain, strict=True)]
    assert [one.name for one, _ in pairs] == ["a", "b", "c"]
    assert all((one.images == other.images).all() for one, other in pairs)


def test_two_members_that_are_one_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a/1.png", b"x")
        archive.writestr("a\\1.png", b"y")
    with pytest.raises(InputError, match="are one file where backslashes separate folders"):
        ZipTree(tmp_path / "set.zip")


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
def test_a_zip_that_does_not_say_its_encoding(encoding: str, tmp_path: Path) -> None:
    """Many tools write UTF-8 without its flag; very old ones the code page of DOS."""
    stored = "école".encode(encoding)
    with zipfile.ZipFile(tmp_path / "ascii.zip", "w") as archive:
        archive.writestr("x" * len(stored) + "/1.png", b"picture")
    raw = (tmp_path / "ascii.zip").read_bytes().replace(b"x" * len(stored), stored)
    (tmp_path / "set.zip").write_bytes(raw)
    with contextlib.closing(ZipTree(tmp_path / "set.zip")) as tree:
        assert tree.names() == ["école/1.png"]
        assert tree.read("école/1.png") == b"picture"
