"""Fonts that tests make: letters of a few boxes, so that pictures are easy to foresee."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen

Box = tuple[int, int, int, int]
"""left, low, right, top in units of a font, 1000 an em"""
Shape = tuple[Box, ...]

MISSING: Shape = ((100, 0, 500, 700),)


def letter(number: int, weight: int = 100) -> Shape:
    """A stem with one bar, whose height tells the number."""
    low = 80 * number
    return (100, 0, 100 + weight, 800), (100, low, 600, low + 60)


def write_font(
    path: Path,
    family: str,
    shapes: Mapping[str, Shape],
    *,
    style: str = "Regular",
    weight: int = 400,
    license_text: str = "SIL Open Font License",
) -> Path:
    """A font of ``shapes`` by letter; a letter without boxes is blank."""
    names = {chr_: f"u{ord(chr_):05X}" for chr_ in shapes}
    builder = FontBuilder(1000, isTTF=False)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(chr_): name for chr_, name in names.items()})
    glyphs = {".notdef": MISSING} | {names[chr_]: shape for chr_, shape in shapes.items()}
    # FreeType fits TrueType without instructions to the grid, and each script in its own way.
    outlines = {name: _outline(shape) for name, shape in glyphs.items()}
    builder.setupCFF(family.replace(" ", ""), {}, outlines, {})
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (700, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-200)
    builder.setupOS2(usWeightClass=weight)
    builder.setupNameTable(
        {
            "familyName": family,
            "styleName": style,
            "version": "Version 1.5; made",
            "copyright": "Copyright of a test",
            "licenseDescription": license_text,
            "licenseInfoURL": "https://example.org/licence",
        }
    )
    builder.setupPost()
    path.parent.mkdir(parents=True, exist_ok=True)
    builder.save(str(path))
    return path


def _outline(shape: Shape) -> object:
    pen = T2CharStringPen(700, None)
    for left, low, right, top in shape:
        pen.moveTo((left, low))
        pen.lineTo((left, top))
        pen.lineTo((right, top))
        pen.lineTo((right, low))
        pen.closePath()
    return pen.getCharString()
