"""Reading Omniglot: from zips and folders alike, in sorted order, or with one clear sentence."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.omniglot import Omniglot, download, open_characters

NAMES = [
    "Greek/character01",
    "Greek/character02",
    "Latin/character01",
    "Latin/character02",
    "Latin/character03",
    "Tifinagh/character01",
    "Tifinagh/character02",
    "Ge_ez/character01",
    "Ge_ez/character02",
    "Ge_ez/character03",
    "Tengwar/character01",
    "Tengwar/character02",
]


def load(root: Path, size: int = 105) -> list[ImageClass]:
    with open_characters(root) as characters:
        return [character.load(size) for character in characters]


def bar(number: int, drawing: int) -> NDArray[np.bool_]:
    """Where the fixture has put ink."""
    ink = np.zeros((105, 105), dtype=bool)
    ink[5 + 8 * number : 10 + 8 * number, 10 : 40 + 15 * drawing] = True
    return ink


@pytest.fixture(params=["folders", "zips"])
def root(request: pytest.FixtureRequest) -> Path:
    path = request.getfixturevalue(request.param)
    assert isinstance(path, Path)
    return path


def test_classes_come_sorted_background_first(root: Path) -> None:
    classes = load(root)
    assert [item.name for item in classes] == NAMES
    assert [item.group for item in classes] == [
        f"{'background' if i < 7 else 'evaluation'}/{name.split('/')[0]}"
        for i, name in enumerate(NAMES)
    ]


def test_an_alphabet_sorts_before_a_longer_name(folders: Path, rezip: Callable[[], Path]) -> None:
    """As whole paths they would not: a hyphen comes before a slash."""
    background = folders / "images_background"
    (background / "Tifinagh").rename(background / "Greek-old")
    for root in (folders, rezip()):
        alphabets = [item.name.split("/")[0] for item in load(root)[:4]]
        assert alphabets == ["Greek", "Greek", "Greek-old", "Greek-old"]


def test_pixels_are_inverted_and_in_order_of_drawing(root: Path) -> None:
    for number, item in enumerate(load(root)):
        assert item.images.dtype == np.uint8
        expected = np.stack([[bar(number, d)] for d in range(4)]) * np.uint8(255)
        np.testing.assert_array_equal(item.images, expected)


def test_resized_ink_stays_where_it_was(root: Path) -> None:
    item = load(root, 21)[5]
    share = np.stack([bar(5, d) for d in range(4)]).reshape(4, 21, 5, 21, 5).mean(axis=(2, 4))
    assert item.images.shape == (4, 1, 21, 21)
    assert np.abs(item.images[:, 0] / 255 - share).max() < 0.2
    assert item.images.max() > 200


def test_torchvision_layout_is_found_and_zip_goes_before_folder(zips: Path, tmp_path: Path) -> None:
    nested = tmp_path / "root" / "omniglot-py"
    nested.parent.mkdir()
    zips.rename(nested)
    (nested / "images_background").mkdir()
    assert [item.name for item in load(nested.parent)] == NAMES


def test_stray_files_are_passed_over(folders: Path, rezip: Callable[[], Path]) -> None:
    background = folders / "images_background"
    (background / ".DS_Store").write_text("x")
    (background / "Latin" / "readme.txt").write_text("x")
    (background / "Latin" / "character01" / "._0003_01.png").write_text("x")
    (background / "Latin" / "character01" / "Thumbs.db").write_text("x")
    for root in (folders, rezip()):
        assert [len(item.images) for item in load(root)] == [4] * 12


def test_identity_is_of_all_that_is_read(zips: Path, folders: Path) -> None:
    of_zips = Omniglot().raw_files(zips, DataConfig(name="omniglot"))
    assert of_zips is not None
    assert sorted(of_zips) == ["images_background/", "images_evaluation/"]
    of_folders = Omniglot().raw_files(folders, DataConfig(name="omniglot"))
    assert of_folders is not None
    drawings = list(folders.rglob("*.png"))
    assert set(drawings) <= set(of_folders.values())


def test_missing_root_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder .*nowhere.*brendenlake.*data\.download"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("missing", ["images_background", "images_evaluation"])
def test_half_of_omniglot(zips: Path, missing: str) -> None:
    (zips / f"{missing}.zip").unlink()
    with pytest.raises(InputError, match=f"half of Omniglot, {missing} is missing"):
        load(zips)


def test_wrong_folder_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("x")
    with pytest.raises(InputError, match=r"does not hold Omniglot \(found: holiday.jpg\)"):
        load(tmp_path)


def test_set_without_characters(zips: Path) -> None:
    with zipfile.ZipFile(zips / "images_background.zip", "w") as archive:
        archive.writestr("something/else.png", b"x")
    with pytest.raises(InputError, match="images_background has no <alphabet>/<character>"):
        load(zips)


@pytest.mark.parametrize("kept", [0, 50, -30])
def test_truncated_zip(zips: Path, kept: int) -> None:
    path = zips / "images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"images_evaluation\.zip is truncated or not a zip"):
        load(zips)


def test_zip_with_damaged_member(zips: Path) -> None:
    path = zips / "images_background.zip"
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"images_background\.zip is truncated.*CRC"):
        load(zips)


@pytest.mark.parametrize("content", [b"", b"not an image", "first half"])
def test_drawing_that_does_not_decode(
    folders: Path, rezip: Callable[[], Path], content: bytes | str
) -> None:
    drawing = folders / "images_evaluation/Ge_ez/character02/0009_03.png"
    whole = drawing.read_bytes()
    drawing.write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])
    for root in (folders, rezip()):
        with pytest.raises(InputError, match=r"character02/0009_03\.png is not an image"):
            load(root)


def test_character_without_drawings(folders: Path, rezip: Callable[[], Path]) -> None:
    for drawing in (folders / "images_background/Greek/character02").iterdir():
        drawing.unlink()
    for root in (folders, rezip()):
        with pytest.raises(InputError, match="Greek/character02 has no drawings"):
            load(root)


def test_zip_that_climbs_out_of_its_folder_writes_nothing(zips: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with zipfile.ZipFile(zips / "images_background.zip", "a") as archive:
        archive.writestr("../../escaped.png", b"x")
        archive.writestr("images_background/../../escaped.png", b"x")
    assert load(zips)[1].name in NAMES
    assert sorted(tmp_path.rglob("*")) == before


def test_download_asks_torchvision_for_both_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(
        "torchvision.datasets.Omniglot",
        lambda root, background, download: calls.append((root, background, download)),
    )
    download(tmp_path)
    assert calls == [(str(tmp_path), True, True), (str(tmp_path), False, True)]


def test_failed_download_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("torchvision.datasets.Omniglot", unreachable)
    with pytest.raises(InputError, match=r"could not be downloaded \(Name or service.*put images_"):
        download(tmp_path)
