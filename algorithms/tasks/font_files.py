"""The fonts in a folder by family: which characters each has, and what it says of itself.

A family is drawn in its most regular style: upright before italic, then the weight nearest to 400,
then the normal width. Where several files have that style, as npm's packages have one for each
range of characters, a character is taken from the first that has it, in the order of their hashes.
Nothing depends on the names of folders and files, or on their times.

fontTools reads the files. It is an extra, ``metaray[fonts]``.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metaray.algorithms.reading import refusing_damage
from metaray.algorithms.tasks.data_sources import Source
from metaray.algorithms.tasks.file_tree import files_below
from metaray.algorithms.tasks.installed_packages import PackageIndex, need_extra
from metaray.algorithms.tasks.limits import ReadLimits

ENDINGS = (".ttf", ".otf", ".ttc", ".otc", ".woff")
UNREADABLE = "font files that cannot be read"
NO_OUTLINES = "fonts without outlines or without a table of characters"
_OUTLINES = ("glyf", "CFF ", "CFF2")
_LONGEST = 300  # characters of a licence


class Face(NamedTuple):
    """One font of a file."""

    path: Path
    number: int
    """in a collection of fonts; 0 in a file of one"""
    family: str
    style: tuple[int, int, int]
    """how far from regular"""
    digest: str
    """of the file"""
    characters: frozenset[int]
    """code points"""
    version: str
    license: str
    license_url: str
    copyright: str
    author: str


class Family(NamedTuple):
    """The faces of a family that are drawn."""

    name: str
    faces: tuple[Face, ...]

    @property
    def characters(self) -> Mapping[int, Face]:
        """The face that draws each code point."""
        return {point: face for face in reversed(self.faces) for point in face.characters}

    def source(self, packages: PackageIndex, images: int) -> Source:
        """What the record of a data set says of it."""
        first = self.faces[0]
        package = packages.package_of(first.path)
        return Source(
            name=self.name,
            version=first.version,
            author=first.author,
            license=first.license or (package.license if package else ""),
            license_url=first.license_url,
            copyright=first.copyright,
            package=package.title if package else "",
            files=tuple(sorted({face.path.name for face in self.faces})),
            images=images,
        )


def font_files(root: Path) -> dict[str, Path]:
    """The font files below ``root``, or the one at it, by their path in it."""
    if root.is_file():
        return {root.name: root} if root.suffix.lower() in ENDINGS else {}
    found = files_below(root) if root.is_dir() else {}
    return {name: path for name, path in found.items() if path.suffix.lower() in ENDINGS}


def families_of(files: Iterable[Path], left_out: Counter[str]) -> list[Family]:
    """The families of ``files``, sorted by name.

    Raises:
        InputError: fontTools is not installed, or a file is too large.
    """
    by_name: dict[str, list[Face]] = defaultdict(list)
    known: set[str] = set()
    limits = ReadLimits.from_environment()
    logging.getLogger("fontTools").setLevel(logging.CRITICAL)  # its warnings are harmless
    for path in files:
        with refusing_damage(f"cannot read {path}", "change its permissions or remove it"):
            limits.check_file(path.stat().st_size, str(path))
            content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest not in known:
            known.add(digest)
            for face in _faces(path, content, digest, left_out):
                by_name[face.family].append(face)
    families = []
    for name in sorted(by_name):
        style = min(face.style for face in by_name[name])
        faces = [face for face in by_name[name] if face.style == style]
        families.append(Family(name, tuple(sorted(faces, key=lambda f: (f.digest, f.number)))))
    return families


def _faces(path: Path, content: bytes, digest: str, left_out: Counter[str]) -> list[Face]:
    try:
        from fontTools.ttLib import TTCollection, TTFont
    except ModuleNotFoundError:
        raise need_extra("fonttools", "fonts", "data.name = fonts") from None
    try:
        if path.suffix.lower() in (".ttc", ".otc"):
            fonts = list(TTCollection(io.BytesIO(content), lazy=True).fonts)
        else:
            fonts = [TTFont(io.BytesIO(content), lazy=True)]
        faces = [_face(font, path, number, digest) for number, font in enumerate(fonts)]
    except Exception:  # fontTools raises anything over a damaged file
        left_out[UNREADABLE] += 1
        return []
    left_out[NO_OUTLINES] += faces.count(None)
    return [face for face in faces if face is not None]


def _face(font: Any, path: Path, number: int, digest: str) -> Face | None:
    characters = font.getBestCmap() if "cmap" in font else None
    if not characters or not any(table in font for table in _OUTLINES):
        return None
    names = font["name"]
    text = {i: _one_line(names.getDebugName(i)) for i in (0, 1, 5, 8, 9, 13, 14, 16)}
    return Face(
        path=path,
        number=number,
        family=text[16] or text[1] or path.stem,
        style=_style(font),
        digest=digest,
        characters=frozenset(characters),
        version=text[5].removeprefix("Version ").partition(";")[0],
        license=text[13][:_LONGEST],
        license_url=text[14],
        copyright=text[0][:_LONGEST],
        author=text[9] or text[8],
    )


def _style(font: Any) -> tuple[int, int, int]:
    """Italic, and how far weight and width are from the regular ones."""
    italic = int(bool(font["head"].macStyle & 2))
    if "OS/2" not in font:
        return italic, 300 * int(bool(font["head"].macStyle & 1)), 0
    table = font["OS/2"]
    italic |= int(bool(table.fsSelection & 1))
    return italic, abs(table.usWeightClass - 400), abs(table.usWidthClass - 5)


def _one_line(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").strip()
