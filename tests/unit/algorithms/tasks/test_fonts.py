"""Printed characters, from fonts that the tests make and from those that are installed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from made_fonts import letter, write_font

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source, prepare, splits_of
from metaray.algorithms.tasks.store import ImageStore

LATIN, ARMENIAN, HEBREW = "ABC", "ԱԲԳ", "אבג"
DEJAVU = Path("/usr/share/fonts/truetype/dejavu")


def shapes(weight: int) -> dict[str, tuple[tuple[int, int, int, int], ...]]:
    """Nine letters, Alpha of Greek as A, an ideograph and a letter without ink."""
    found = {chr_: letter(i, weight) for i, chr_ in enumerate(LATIN + ARMENIAN + HEBREW)}
    return {**found, "Α": found["A"], "中": letter(9, weight), "D": ()}


def three_families(root: Path) -> Path:
    for number, weight in enumerate((60, 100, 140)):
        write_font(root / f"f{number}.ttf", f"Family {number}", shapes(weight))
    return root


@pytest.fixture
def fonts(tmp_path: Path) -> Path:
    return three_families(tmp_path / "fonts")


def config(root: Path, tmp_path: Path, **settings: object) -> DataConfig:
    values = {"name": "fonts", "root": str(root), "cache": str(tmp_path / "cache"), **settings}
    return DataConfig.model_validate({"min_designs": 3} | values)


def prepared(root: Path, tmp_path: Path, **settings: object) -> ImageStore:
    return ImageStore.open(prepare(config(root, tmp_path, **settings)))


def test_a_class_is_a_letter_and_an_example_a_family(fonts: Path, tmp_path: Path) -> None:
    store = prepared(fonts, tmp_path)
    names = store.header.class_names
    assert names[:3] == ("Latin/U+0041+0391", "Latin/U+0042", "Latin/U+0043")
    assert set(store.header.class_groups) == {"Latin", "Armenian", "Hebrew"}
    assert len(names) == 9
    images = store.images(1)
    assert images.shape == (3, 1, 28, 28)
    inks = [int((image > 127).sum()) for image in images]
    assert inks == sorted(inks)  # families in the order of their names, each bolder
    rows = np.flatnonzero(images[0, 0].any(axis=1))
    assert abs(rows[0] - (27 - rows[-1])) <= 1  # centred
    assert rows[0] >= 2  # not cut


def test_no_script_is_in_two_splits(fonts: Path, tmp_path: Path) -> None:
    store = prepared(fonts, tmp_path)
    splits = splits_of(store, config(fonts, tmp_path))
    scripts = [{store.header.class_groups[c] for c in ids} for ids in splits.values()]
    assert scripts == [{"Latin"}, {"Armenian"}, {"Hebrew"}]


def test_small_letters_stay_smaller_than_capitals(tmp_path: Path) -> None:
    for number in range(2):
        small = ((100, 0, 160 + 40 * number, 400), (100, 0, 300, 60))
        glyphs = shapes(60 + 40 * number) | {"x": small}
        write_font(tmp_path / "f" / f"{number}.ttf", f"F{number}", glyphs)
    store = prepared(tmp_path / "f", tmp_path, min_designs=2)
    heights = {
        name: int(store.images(c)[0, 0].any(axis=1).sum())
        for c, name in enumerate(store.header.class_names)
    }
    assert heights["Latin/U+0078"] < 0.6 * heights["Latin/U+0042"]


def test_one_design_under_two_names_counts_once(fonts: Path, tmp_path: Path) -> None:
    write_font(fonts / "copy.ttf", "Renamed", shapes(100))
    store = prepared(fonts, tmp_path)
    assert len(store.images(0)) == 3
    assert store.header.made_of is not None
    assert store.header.made_of.left_out["pictures that another design has, byte for byte"] == 9


def test_a_family_is_drawn_in_its_most_regular_style(fonts: Path, tmp_path: Path) -> None:
    before = prepared(fonts, tmp_path).header.sha256
    write_font(fonts / "bold.ttf", "Family 0", shapes(300), style="Regular", weight=700)
    assert prepared(fonts, tmp_path).header.sha256 == before


def test_the_hash_is_of_the_fonts_and_not_of_their_place(fonts: Path, tmp_path: Path) -> None:
    first = prepared(fonts, tmp_path).header.sha256
    other = tmp_path / "elsewhere"
    for number, path in enumerate(sorted(fonts.iterdir(), reverse=True)):
        (other / str(number)).mkdir(parents=True)
        shutil.copy(path, other / str(number) / f"renamed{number}.ttf")
        os.utime(other / str(number) / f"renamed{number}.ttf", (1, 1))
    (other / "again.ttf").write_bytes((fonts / "f1.ttf").read_bytes())
    assert prepared(other, tmp_path).header.sha256 == first


def test_the_record_tells_families_licences_and_what_was_left_out(
    fonts: Path, tmp_path: Path
) -> None:
    (fonts / "package.json").write_text('{"name": "@fontsource/made", "version": "5.1.0"}')
    (fonts / "broken.ttf").write_bytes(b"no font")
    store = prepared(fonts, tmp_path)
    record = store.header.made_of
    assert record is not None
    source = record.sources[0]
    assert (source.name, source.version, source.package) == (
        "Family 0", "1.5", "@fontsource/made 5.1.0",
    )  # fmt: skip
    assert source.license == "SIL Open Font License"
    assert source.license_url == "https://example.org/licence"
    assert source.files == ("f0.ttf",)
    assert source.images == 9
    assert "SIL Open Font License" in record.attribution()[0]
    assert record.left_out["font files that cannot be read"] == 1
    assert record.left_out["letters without ink, or drawn as the sign for a missing one"] == 3
    assert record.left_out["pictures of a second name of the same class in one design"] == 3
    assert str(fonts) not in record.model_dump_json()


def test_a_picture_of_the_sign_for_a_missing_letter_is_left_out(tmp_path: Path) -> None:
    for number in range(2):
        glyphs = shapes(60 + 40 * number) | {"E": ((100, 0, 500, 700),)}
        write_font(tmp_path / "f" / f"{number}.ttf", f"F{number}", glyphs)
    names = prepared(tmp_path / "f", tmp_path, min_designs=2).header.class_names
    assert "Latin/U+0045" not in names
    assert "Latin/U+0042" in names


def test_ideographs_are_asked_for(fonts: Path, tmp_path: Path) -> None:
    assert "Han/U+4E2D" not in prepared(fonts, tmp_path).header.class_names
    assert "Han/U+4E2D" in prepared(fonts, tmp_path, ideographs=True).header.class_names


def test_episodes_are_sampled(fonts: Path, tmp_path: Path) -> None:
    source = build_source(config(fonts, tmp_path, image_size=12))
    assert tuple(source.input_shape) == (1, 12, 12)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"min_designs": 4}, "no letter is in 4 of them"),
        ({"bbox_crop": True}, "data.bbox_crop has no effect on fonts"),
        ({"split": "designer"}, "fonts has no designer split"),
    ],
)
def test_what_does_not_fit_is_told(
    fonts: Path, tmp_path: Path, settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        prepared(fonts, tmp_path, **settings)
    assert not list(tmp_path.glob("cache/*.arrow"))


def test_a_folder_without_fonts_names_packages(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="it is empty.*apt-get install fonts-noto-core"):
        prepared(tmp_path / "empty", tmp_path)


def test_a_missing_library_names_the_extra(
    fonts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fontTools.ttLib", None)
    with pytest.raises(InputError, match=r"pip install 'metaray\[fonts\]'"):
        prepared(fonts, tmp_path)


@pytest.mark.skipif(not DEJAVU.is_dir(), reason="needs Debian's fonts-dejavu-core")
def test_installed_fonts(tmp_path: Path) -> None:
    store = prepared(DEJAVU, tmp_path, min_designs=2)
    names = store.header.class_names
    capital = next(c for c, name in enumerate(names) if name.startswith("Latin/U+0041"))
    assert "0391" in names[capital]  # A, Alpha and the A of Cyrillic are one picture
    assert "0410" in names[capital]
    assert len(store.images(capital)) >= 2
    assert all(store.images(c).any(axis=(1, 2, 3)).all() for c in range(len(store)))
    assert not store.header.shared_images
    assert store.header.made_of is not None
    assert any("DejaVu" in source.name for source in store.header.made_of.sources)
