"""Damaged files of data sets from packages: a reader gives a value or one sentence."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

from damage import check_damage
from made_fonts import letter, write_font
from made_icons import body, write_icons

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.tasks.emoji import draw_icon
from metaray.algorithms.tasks.fonts import Fonts
from metaray.algorithms.tasks.iconify import FILES, IconSet, concepts_of
from metaray.algorithms.tasks.idx import read_idx


def test_idx(tmp_path: Path) -> None:
    content = bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3)) + bytes(18)

    def read(name: str, data: bytes) -> None:
        (tmp_path / name).write_bytes(data)
        read_idx(tmp_path / name, 3, "get another")

    check_damage([content], lambda data: read("images", data))
    check_damage([gzip.compress(content)], lambda data: read("images.gz", data))


def test_a_font(tmp_path: Path) -> None:
    """A damaged font counts as left out, so all that remains is one that is whole."""
    for number in range(2):
        shapes = {chr_: letter(i, 60 + 40 * number) for i, chr_ in enumerate("ABC")}
        write_font(tmp_path / "f" / f"{number}.ttf", f"F{number}", shapes)
    data = DataConfig(name="fonts", image_size=8, min_designs=2)

    def read(content: bytes) -> None:
        (tmp_path / "f" / "0.ttf").write_bytes(content)
        with Fonts().open_classes(tmp_path / "f", data, tmp_path) as classes:
            for item in classes:
                item.load()

    check_damage([(tmp_path / "f" / "0.ttf").read_bytes()], read)


def test_icons(tmp_path: Path) -> None:
    other = {"c": {"parent": "a", "hFlip": True}}
    icons = {"a": body(1), "b": body(9)}
    folder = write_icons(tmp_path, "noto", icons, aliases=other, chars={"1f600": "a"})

    def read(content: bytes, name: str = "icons.json") -> None:
        (folder / name).write_bytes(content)
        found = IconSet.read("noto", folder)
        for icon in found.icons.values():
            draw_icon(icon, 8)
        concepts_of([found], Counter())

    whole = {name: (folder / name).read_bytes() for name in FILES}
    for name, content in whole.items():
        check_damage([content], lambda data, name=name: read(data, name))  # type: ignore[misc]
        (folder / name).write_bytes(content)
