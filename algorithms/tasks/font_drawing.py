"""Characters as a font draws them: grey, ink high, centred in the picture.

All letters of a font have one scale: the longer sides of its first letters, in the order of code
points, have a median of 0.6 of the picture. So a small letter stays smaller than its capital, and A
is the same picture in all scripts. A letter that would be longer than 6/7 of the picture is made
smaller, so that none is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from metaray.algorithms.tasks.content import Images
from metaray.algorithms.tasks.font_files import Face

BLANK = "letters without ink, or drawn as the sign for a missing one"
BROKEN = "letters that the font cannot draw"
_PIXELS = 128  # of an em, before scaling
_MEDIAN, _LONGEST = 0.6, 6 / 7  # of the side of a picture
_MEASURED = 64  # letters
_LARGEST = 20  # ems that a glyph may have
_NOT_A_CHARACTER = "\uffff"


class Pen:
    """Draws the letters of a face in pictures of ``size`` pixels."""

    def __init__(self, face: Face, letters: Iterable[int], size: int) -> None:
        """``letters`` are those of the face that count."""
        engine = ImageFont.Layout.BASIC  # one glyph for one code point, without shaping
        self._font = ImageFont.truetype(str(face.path), _PIXELS, face.number, "", engine)
        self._size = size
        self._missing = self._ink(_NOT_A_CHARACTER)
        self._scale = self._scale_of(letters)

    def draw(self, point: int, left_out: Counter[str]) -> Images | None:
        """The letter, uint8 ``[1, size, size]``; None where there is nothing to see."""
        try:
            ink = self._ink(chr(point))
        except (OSError, ValueError):
            left_out[BROKEN] += 1
            return None
        missing = self._missing
        if ink is None or (missing is not None and _same(ink, missing)):
            left_out[BLANK] += 1
            return None
        return self._placed(ink)

    def _placed(self, ink: Image.Image) -> Images:
        scale = min(self._scale, _LONGEST * self._size / max(ink.size))
        width, height = (max(1, round(side * scale)) for side in ink.size)
        small = ink.resize((width, height), Image.Resampling.BOX)
        picture = Image.new("L", (self._size, self._size))
        picture.paste(small, ((self._size - width) // 2, (self._size - height) // 2))
        return np.asarray(picture)[None]

    def _scale_of(self, letters: Iterable[int]) -> float:
        boxes = [self._font.getbbox(chr(point)) for point in sorted(letters)[:_MEASURED]]
        sides = [max(right - left, low - top) for left, top, right, low in boxes]
        return _MEDIAN * self._size / max(1.0, median([side for side in sides if side] or [1]))

    def _ink(self, text: str) -> Image.Image | None:
        """The drawn part of the glyph alone; None where nothing is drawn."""
        left, top, right, low = map(round, self._font.getbbox(text))
        if right <= left or low <= top:
            return None
        if max(right - left, low - top) > _LARGEST * _PIXELS:
            raise ValueError("a glyph of a damaged font")
        canvas = Image.new("L", (right - left + 2, low - top + 2))
        ImageDraw.Draw(canvas).text((1 - left, 1 - top), text, fill=255, font=self._font)
        box = canvas.getbbox()
        return None if box is None else canvas.crop(box)


def _same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and a.tobytes() == b.tobytes()


def drawing_versions() -> dict[str, str]:
    """Of what draws and reads fonts."""
    import fontTools
    import PIL
    from PIL import features

    freetype: Any = features.version("freetype2")
    return {"pillow": PIL.__version__, "freetype": str(freetype), "fonttools": fontTools.version}
