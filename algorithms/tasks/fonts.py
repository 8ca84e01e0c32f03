"""Printed characters of the world, from the fonts that are installed.

A class is a character, an example is a font family. Letters count (categories Lu, Ll and Lo),
without those that Unicode has for compatibility alone, and without the ideographs and Hangul
syllables unless ``data.ideographs``. ``designs`` says how one glyph under several code points is
found; a joined class belongs to the script of its first code point.

The split ``alphabet`` is by script, by the lists below, so that it does not depend on which fonts
are installed. Scripts that are in no list are for training, as are Latin, Greek and Cyrillic
together, since they share letters.

Other sets of printed characters: OmniPrint (Sun et al. 2021).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import Images
from metaray.algorithms.tasks.data_sources import SourcesRecord
from metaray.algorithms.tasks.dataset import (
    ClassLists,
    ImageDataset,
    LazyClass,
    RecordedClasses,
    missing,
)
from metaray.algorithms.tasks.designs import DesignedClass, Drawings, classes_of_designs
from metaray.algorithms.tasks.drawn_class import DrawnClass
from metaray.algorithms.tasks.font_drawing import BROKEN, Pen, drawing_versions
from metaray.algorithms.tasks.font_files import UNREADABLE, Family, families_of, font_files
from metaray.algorithms.tasks.installed_packages import PackageIndex, need_extra
from metaray.algorithms.tasks.splits import GLYPH_SHARES, Splits, by_label, random_split

VERSION = 1
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

_NEEDS = (
    "install fonts, for example with apt-get install fonts-noto-core fonts-dejavu fonts-lohit-deva "
    "fonts-thai-tlwg, or point data.root at a folder of .ttf, .otf, .ttc or .woff files"
)
_LETTERS = ("Lu", "Ll", "Lo")
_IDEOGRAPHS = {"Hani", "Hang", "Tang", "Nshu", "Kits"}
_NO_SCRIPT = {"Zyyy", "Zinh", "Zzzz"}
_RARE = "letters in too few families"
_VAL = {
    "Arabic",
    "Armenian",
    "Bengali",
    "Georgian",
    "Khmer",
    "Malayalam",
    "Oriya",
    "Sinhala",
    "Tamil",
}
_TEST = {
    "Devanagari", "Gujarati", "Gurmukhi", "Hebrew", "Hiragana", "Kannada", "Katakana", "Lao",
    "Myanmar", "Telugu", "Thai", "Tibetan",
}  # fmt: skip


class Fonts(ImageDataset):
    """See the module."""

    name = "fonts"
    description = "printed characters of the world, one example for each installed font family"
    splits = ("alphabet", "random")
    settings = ("root", "min_designs", "ideographs", "split_seed", "channels")
    needs = _NEEDS
    prepared_as = "fonts"
    inverted = True
    installed_at = ("/usr/share/fonts", "/Library/Fonts")

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        found: dict[str, str | int] = {
            "version": VERSION,
            "image_size": data.image_size,
            "min_designs": data.min_designs,
        }
        return {**found, "ideographs": 1} if data.ideographs else found

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        return font_files(root) or None

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        """The characters in the order of their code points."""
        files = font_files(root)
        if not files:
            raise missing("fonts", root, _NEEDS)
        yield _classes(list(files.values()), root, data)

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        """By script, or at random."""
        if data.split == "random":
            return random_split(classes.names, data.split_seed, GLYPH_SHARES)
        return by_label(
            "val" if script in _VAL else "test" if script in _TEST else "train"
            for script in classes.groups
        )


def _classes(files: list[Path], root: Path, data: DataConfig) -> RecordedClasses:
    left_out: Counter[str] = Counter()
    families = families_of(files, left_out)
    letters = _Letters(data.ideographs)
    counts = Counter(point for family in families for point in family.characters)
    common = {point for point in counts if counts[point] >= data.min_designs and letters[point]}
    left_out[_RARE] += sum(bool(letters[point]) for point in counts.keys() - common)
    drawings = [_drawn(family, common, letters, data.image_size, left_out) for family in families]
    designed = classes_of_designs(drawings, data.min_designs)
    left_out += designed.left_out
    if not designed.classes:
        raise InputError(
            f"{root} has {len(families)} font families, and no letter is in {data.min_designs} of "
            f"them: {_NEEDS}; or lower data.min_designs"
        )
    images = Counter(family for one in designed.classes for family in one.images)
    packages = PackageIndex()
    sources = [f.source(packages, images[f.name]) for f in families if images[f.name]]
    record = SourcesRecord(
        sources=tuple(sources), left_out=dict(sorted(left_out.items())),
        drawn_with=drawing_versions(),
    )  # fmt: skip
    return RecordedClasses([_named(one, letters) for one in designed.classes], record)


def _named(one: DesignedClass, letters: _Letters) -> DrawnClass:
    points = [int(key, 16) for key in one.keys]
    script = letters.name(points[0])
    codes = "+".join(f"{point:04X}" for point in points)
    images = np.stack(list(one.images.values()))
    return DrawnClass(name=f"{script}/U+{codes}", group=script, images=images)


def _drawn(
    family: Family, common: set[int], letters: _Letters, size: int, left_out: Counter[str]
) -> Drawings:
    pens: dict[tuple[Any, ...], Pen | None] = {}
    images: dict[str, Images] = {}
    for point, face in sorted(family.characters.items()):
        if point not in common:
            continue
        place = (face.digest, face.number)
        if place not in pens:
            own = [other for other in face.characters if letters[other]]
            try:
                pens[place] = Pen(face, own, size)
            except (OSError, ValueError):  # FreeType's, over a damaged font
                pens[place] = None
                left_out[UNREADABLE] += 1
        pen = pens[place]
        if pen is None:
            left_out[BROKEN] += 1
            continue
        image = pen.draw(point, left_out)
        if image is not None:
            images[f"{point:06X}"] = image
    return Drawings(family.name, images)


class _Letters(dict[int, str]):
    """The script of a code point, such as ``Latn``; empty where it is no letter that counts."""

    def __init__(self, ideographs: bool) -> None:
        super().__init__()
        self._without = _NO_SCRIPT if ideographs else _NO_SCRIPT | _IDEOGRAPHS
        try:
            from fontTools import unicodedata
        except ModuleNotFoundError:
            raise need_extra("fonttools", "fonts", "data.name = fonts") from None
        self._table = unicodedata

    def __missing__(self, point: int) -> str:
        self[point] = script = self._script(chr(point))
        return script

    def name(self, point: int) -> str:
        """The name of the script of a letter: ``Latin``."""
        name: str = self._table.script_name(self[point])
        return name

    def _script(self, letter: str) -> str:
        table = self._table
        if table.category(letter) not in _LETTERS or table.decomposition(letter)[:1] == "<":
            return ""
        script: str = table.script(letter)
        return "" if script in self._without else script
