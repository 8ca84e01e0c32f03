"""Emoji by many designers, from packages that the tests write and from npm's."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_icons import body, write_icons

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import prepare, splits_of
from metaray.algorithms.tasks.emoji import DESIGNERS
from metaray.algorithms.tasks.iconify import IconSet, concepts_of
from metaray.algorithms.tasks.store import ImageStore

NAMES = [f"thing-{letter}" for letter in "abcdefgh"]
REAL = Path(os.environ.get("METARAY_TEST_NODE_MODULES", "node_modules"))


def write_sets(root: Path, sets: tuple[str, ...] = DESIGNERS) -> Path:
    """Each set has its own colour, each concept its own place."""
    for number, name in enumerate(sets):
        colour = f"#{30 * number + 20:02x}4080"
        icons = {thing: body(3 * i, colour) for i, thing in enumerate(NAMES)}
        write_icons(root, name, icons)
    return root


def config(root: Path, tmp_path: Path, **settings: object) -> DataConfig:
    values = {"name": "emoji", "root": str(root), "cache": str(tmp_path / "cache"), **settings}
    return DataConfig.model_validate(values)


def prepared(root: Path, tmp_path: Path, **settings: object) -> ImageStore:
    return ImageStore.open(prepare(config(root, tmp_path, **settings)))


def test_a_class_is_a_concept_and_an_example_a_design(tmp_path: Path) -> None:
    store = prepared(write_sets(tmp_path / "node_modules"), tmp_path)
    assert store.header.class_names == tuple(NAMES)
    images = store.images(0)
    assert images.shape == (8, 3, 32, 32)
    assert images[:, :, 0, -1].min() == 255  # a white ground
    assert [int(image[0, 16, 2]) for image in images] == [30 * i + 20 for i in range(8)]


def test_the_hash_does_not_depend_on_the_place(tmp_path: Path) -> None:
    first = prepared(write_sets(tmp_path / "a" / "node_modules"), tmp_path)
    second = prepared(write_sets(tmp_path / "b") / "@iconify-json", tmp_path)
    assert first.header.sha256 == second.header.sha256


def test_concepts_are_matched_by_code_points_and_by_other_names(tmp_path: Path) -> None:
    root = tmp_path / "n"
    dog, cat = body(2, "#102030"), body(20, "#102030")
    write_icons(root, "noto", {"dog-face": dog, "cat": cat, "dog-face-light": body(9)},
                chars={"1f436": "dog-face", "1f431": "cat", "1f436-1f3fb": "dog-face-light"},
                aliases={"puppy": {"parent": "dog-face"}})  # fmt: skip
    write_icons(root, "twemoji", {"doggy": body(2, "#111111"), "kitty": body(20, "#111111")},
                chars={"1f436-fe0f": "doggy", "1f431": "kitty"})  # fmt: skip
    write_icons(root, "fxemoji", {"dogface": body(2, "#222222"), "cat": body(20, "#222222")})
    write_icons(root, "emojione-v1", {"x": body(2, "#333333"), "cat": body(20, "#333333"),
                                      "cat-dark-skin-tone": body(12)},
                aliases={"puppy": {"parent": "x"}})  # fmt: skip
    write_icons(root, "noto-v1", {"tree": body(12)})
    left_out: Counter[str] = Counter()
    folders = sorted((root / "@iconify-json").iterdir())
    found = concepts_of([IconSet.read(f.name, f) for f in folders], left_out)
    assert [sorted(icons) for icons in found.values()] == [
        ["cat", "dog-face"], ["cat", "dog-face"], ["cat", "dog-face"], ["tree"],
        ["cat", "dog-face"],
    ]  # fmt: skip
    dogs = [icons["dog-face"].body for icons in found.values() if "dog-face" in icons]
    assert all("M2 6" in dog for dog in dogs)
    assert left_out["icons with a skin tone"] == 2


def test_a_name_that_changes_an_icon_is_drawn_so(tmp_path: Path) -> None:
    root = tmp_path / "n"
    flips = {"right": {"parent": "left", "hFlip": True}, "down": {"parent": "left", "rotate": 1}}
    for number in range(3):
        colour = f"#{number}03050"
        write_icons(root, DESIGNERS[number], {"left": body(0, colour)}, aliases=flips)
    store = prepared(root, tmp_path, min_designs=3)
    assert store.header.class_names == ("down", "left", "right")
    down, left, right = (store.images(c)[0, 0] for c in range(3))
    assert (right == left[:, ::-1]).all()
    assert (down == np.rot90(left, -1)).all()


def test_styles_are_divided_too(tmp_path: Path) -> None:
    root = write_sets(tmp_path / "node_modules")
    data = config(root, tmp_path, split="designer", test_designers=["openmoji", "fxemoji"])
    store = ImageStore.open(prepare(data))
    splits = splits_of(store, data)
    names = {
        part: [store.header.class_names[c] for c in classes] for part, classes in splits.items()
    }
    assert {name.split("/")[0] for name in names["train"] + names["val"]} == {"seen"}
    assert {name.split("/")[0] for name in names["test"]} == {"new"}
    concepts = [{name.split("/")[1] for name in part} for part in names.values()]
    assert sum(map(len, concepts)) == len(set().union(*concepts)) == len(NAMES)
    assert {len(store.images(c)) for c in splits["train"]} == {6}
    assert {len(store.images(c)) for c in splits["test"]} == {2}
    test = {int(store.images(c)[i, 0].min()) for c in splits["test"] for i in range(2)}
    assert test == {30 * DESIGNERS.index(name) + 20 for name in ("openmoji", "fxemoji")}


def test_the_record_has_the_attribution_of_every_package(tmp_path: Path) -> None:
    root = write_sets(tmp_path / "node_modules")
    write_icons(root, "noto", {name: body(3 * i) for i, name in enumerate(NAMES)} | {"empty": ""})
    write_icons(root, "twemoji", {"empty": "", **{n: body(i) for i, n in enumerate(NAMES)}})
    record = prepared(root, tmp_path, min_designs=2).header.made_of
    assert record is not None
    assert len(record.attribution()) == 8
    line = record.attribution()[0]
    for part in ("Set noto", "by An author", "CC-BY-4.0", "https://example.org/by", "noto 1.2.3"):
        assert part in line
    assert record.left_out["icons that are blank or that resvg cannot draw"] == 2


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"min_designs": 9}, "no concept is in enough of them"),
        ({"test_designers": ["noto"]}, "data.test_designers has no effect on the random split"),
        ({"ideographs": True}, "data.ideographs has no effect on emoji"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, settings: dict[str, object], sentence: str
) -> None:
    root = write_sets(tmp_path / "node_modules")
    with pytest.raises(InputError, match=sentence):
        prepared(root, tmp_path, **settings)
    assert not list(tmp_path.glob("cache/*.arrow"))


def test_missing_packages_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="npm install @iconify-json/noto "):
        prepared(tmp_path / "empty", tmp_path)


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_sets(tmp_path / "node_modules")
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(InputError, match=r"pip install 'metaray\[emoji\]'"):
        prepared(root, tmp_path)
    assert not list(tmp_path.glob("cache/*.arrow"))


@pytest.mark.parametrize("content", ["{", "[]", '{"icons": 3}', '{"icons": {"a": {}}}'])
def test_a_damaged_package_is_told(tmp_path: Path, content: str) -> None:
    root = write_sets(tmp_path / "node_modules")
    (root / "@iconify-json" / "noto" / "icons.json").write_text(content)
    with pytest.raises(InputError, match="cannot read the icons in .*noto"):
        prepared(root, tmp_path)


@pytest.mark.skipif(
    not (REAL / "@iconify-json" / "noto").is_dir(),
    reason="needs @iconify-json packages in METARAY_TEST_NODE_MODULES",
)
def test_installed_packages(tmp_path: Path) -> None:
    store = prepared(REAL, tmp_path, image_size=16)
    names = store.header.class_names
    assert len(names) > 1000
    assert "red-heart" in names
    assert not any("skin-tone" in name for name in names)
    assert all((store.images(c) < 255).any(axis=(1, 2, 3)).all() for c in range(len(store)))
    assert not store.header.shared_images
