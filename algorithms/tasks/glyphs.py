"""Procedural stroke characters: thousands of classes that look drawn by hand, made in seconds.

A script (25 glyphs) has a style: how many strokes, how round, how long, how thick a pen. A glyph
is a few strokes, each a walk through five anchor points. A drawing of it moves the anchors, turns,
shears, scales and shifts the whole, and varies the pen. Ink is a sum of Gaussian dabs along the
strokes; a Gaussian is a product over x and y, so one matrix product renders a drawing.

Glyph c depends on the seed and c alone, not on how many glyphs are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.tasks.content import ImageClass, Images
from metaray.algorithms.tasks.dataset import ClassLists, ImageDataset, LazyClass
from metaray.algorithms.tasks.splits import GLYPH_SHARES, Splits, random_split, script_split

VERSION = 1
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

DRAWINGS = 20
GLYPHS_PER_SCRIPT = 25
_SEED = 1623
_ANCHORS = 5
_POINTS = 40  # dabs per stroke, close enough to make a line
_MARGIN = 0.17  # free border around the glyph, in widths of the image
_KINDS = ("line", "arc", "hook", "wave", "corner")

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Style:
    """What the glyphs of a script have in common."""

    strokes: tuple[float, float, float, float]  # chances of 1 to 4 strokes
    kinds: Array  # chances of _KINDS
    roundness: float  # 0: straight between anchors, 1: a smooth curve
    attached: float  # chance that a stroke starts on an earlier one
    upright: float  # chance that a stroke starts along an axis
    pen: float  # standard deviation of a dab, in widths of the image


class Glyphs(ImageDataset):
    """See the module."""

    name = "glyphs"
    description = "stroke characters drawn by a procedure, 20 drawings each, in scripts of 25"
    splits = ("alphabet", "random")
    settings = ("num_classes", "rotations", "split_seed", "channels")
    prepared_as = "glyphs"
    inverted = True

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        return {
            "version": VERSION,
            "image_size": data.image_size,
            "num_classes": data.num_classes,
        }

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        return {}

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        """Glyphs 0..num_classes-1."""
        yield [_Glyph(class_id, data.image_size) for class_id in range(data.num_classes)]

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        """By script, or at random."""
        if data.split == "random":
            return random_split(classes.names, data.split_seed, GLYPH_SHARES)
        return script_split(classes.groups)


class _Glyph(NamedTuple):
    class_id: int
    image_size: int

    @property
    def num_images(self) -> int:
        """None needs decoding."""
        return 0

    def load(self) -> ImageClass:
        """Its drawings, uint8 ``[20, 1, image_size, image_size]``."""
        script, number = divmod(self.class_id, GLYPHS_PER_SCRIPT)
        group = f"script{script:04d}"
        drawings = draw_glyph(self.class_id, self.image_size)
        return ImageClass(f"{group}/glyph{number:02d}", group, drawings)


def draw_glyph(class_id: int, image_size: int) -> Images:
    """The 20 drawings of one glyph, uint8 ``[20, 1, image_size, image_size]``, ink high."""
    style = _style(class_id // GLYPHS_PER_SCRIPT)
    rng = default_rng(SeedSequence(_SEED, spawn_key=(1, class_id)))
    anchors = _glyph(rng, style)
    drawn = _by_hand(rng, anchors)
    points = np.einsum("pa,dsac->dspc", _interpolation(style.roundness), drawn)
    pen = style.pen * rng.uniform(0.85, 1.2, DRAWINGS)
    return _render(points, pen, image_size)


def _style(script: int) -> Style:
    rng = default_rng(SeedSequence(_SEED, spawn_key=(0, script)))
    few = rng.uniform(0.0, 1.0)
    weights = np.array([0.5 * few, 1.2, 1.2 - 0.6 * few, 0.6 - 0.5 * few])
    one, two, three, four = weights / weights.sum()
    return Style(
        strokes=(one, two, three, four),
        kinds=rng.dirichlet(np.full(len(_KINDS), 1.2)),
        roundness=rng.uniform(0.35, 1.0),
        attached=rng.uniform(0.4, 0.95),
        upright=rng.uniform(0.2, 0.9),
        pen=rng.uniform(0.0175, 0.0225),
    )


def _glyph(rng: Generator, style: Style) -> Array:
    """Anchors of a glyph's strokes ``[strokes, _ANCHORS, 2]``, fitted into the unit square."""
    while True:
        strokes: list[Array] = []
        for _ in range(rng.choice(4, p=style.strokes) + 1):
            start = rng.uniform(0.0, 0.8, 2)
            if strokes and rng.uniform() < style.attached:
                start = strokes[rng.integers(len(strokes))][rng.integers(_ANCHORS)]
            strokes.append(start + _stroke(rng, style))
        glyph = np.stack(strokes)
        centred = glyph.reshape(-1, 2) - glyph.mean(axis=(0, 1))
        longest, shortest = np.linalg.svd(centred, compute_uv=False)
        # A script has room for few dashes: nearly flat glyphs could not be told apart.
        if shortest > 0.3 * longest:
            return _fit(glyph, rng.uniform(0.0, 0.7))


def _stroke(rng: Generator, style: Style) -> Array:
    """A walk of four steps from the origin ``[_ANCHORS, 2]``: where it turns is its kind."""
    heading = rng.uniform(0.0, 2 * np.pi)
    if rng.uniform() < style.upright:
        heading = rng.integers(4) * np.pi / 2
    turn = rng.choice([-1.0, 1.0])
    bend = rng.uniform(0.35, 1.5)  # radians per step of an arc; more closes a circle
    sharp = rng.uniform(1.2, 2.4)
    place = rng.integers(1, 4)
    turns = {
        "line": np.zeros(4),
        "arc": np.full(4, bend),
        "hook": np.array([0.0, 0.0, bend, sharp]),
        "wave": np.array([0.5, 1.0, -1.0, -1.0]) * bend,
        "corner": np.where(np.arange(4) == place, sharp, 0.0),
    }[_KINDS[rng.choice(len(_KINDS), p=style.kinds)]]
    headings = heading + turn * np.cumsum(turns)
    step = rng.uniform(0.14, 0.34) * rng.uniform(0.75, 1.25, 4)
    moves = step[:, None] * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])


def _fit(anchors: Array, squareness: float) -> Array:
    """Scale into the unit square; ``squareness`` 0 keeps the proportions, 1 fills it."""
    low, high = anchors.min(axis=(0, 1)), anchors.max(axis=(0, 1))
    extent = high - low
    longest = extent.max()
    scale = (longest / extent) ** squareness / longest
    fitted: Array = (anchors - (low + high) / 2) * scale + 0.5
    return fitted


def _by_hand(rng: Generator, anchors: Array) -> Array:
    """Twenty drawings of one glyph ``[DRAWINGS, strokes, _ANCHORS, 2]``, none quite the same."""
    strokes = len(anchors)
    unsteady = rng.normal(0.0, 0.022, (DRAWINGS, strokes, _ANCHORS, 2))
    misplaced = rng.normal(0.0, 0.028, (DRAWINGS, strokes, 1, 2))
    drawn = anchors - 0.5 + unsteady + misplaced
    turned = np.einsum("dij,dsaj->dsai", _affine(rng), drawn)
    shift = rng.normal(0.0, 0.045, (DRAWINGS, 1, 1, 2))
    placed: Array = 0.5 + (1 - 2 * _MARGIN) * turned + shift
    return placed


def _affine(rng: Generator) -> Array:
    """Small turns, shears and changes of size ``[DRAWINGS, 2, 2]``."""
    angle = rng.normal(0.0, 0.15, DRAWINGS)
    shear = rng.normal(0.0, 0.17, DRAWINGS)
    width, height = rng.uniform(0.72, 1.15, (2, DRAWINGS))
    cos, sin = np.cos(angle), np.sin(angle)
    rows = [
        [width * cos, height * (shear * cos - sin)],
        [width * sin, height * (shear * sin + cos)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def _interpolation(roundness: float) -> Array:
    """Weights ``[_POINTS, _ANCHORS]`` from anchors to points of a stroke.

    Straight pieces blended with the Catmull-Rom spline through the same anchors.
    """
    t = np.linspace(0.0, _ANCHORS - 1, _POINTS)
    piece = np.minimum(t.astype(np.int64), _ANCHORS - 2)
    u = t - piece
    straight = np.stack([0 * u, 1 - u, u, 0 * u], axis=1)
    before, here = -u + 2 * u**2 - u**3, 2 - 5 * u**2 + 3 * u**3
    after, beyond = u + 4 * u**2 - 3 * u**3, u**3 - u**2
    smooth = 0.5 * np.stack([before, here, after, beyond], axis=1)
    weights = (1 - roundness) * straight + roundness * smooth
    matrix = np.zeros((_POINTS, _ANCHORS))
    for k in range(4):  # the end anchors stand in for their missing neighbours
        neighbour = np.clip(piece + k - 1, 0, _ANCHORS - 1)
        np.add.at(matrix, (np.arange(_POINTS), neighbour), weights[:, k])
    return matrix


def _render(points: Array, pen: Array, image_size: int) -> Images:
    """Points ``[drawings, strokes, points, 2]`` (x, y in widths) to uint8 images, ink high."""
    steps = np.linalg.norm(np.diff(points, axis=2), axis=3)
    # A dab counts for the length of line it stands for, else slow curves would be darker.
    weight = np.pad(steps, ((0, 0), (0, 0), (0, 1)), mode="edge") / (pen[:, None, None] * 2.5)
    weight = weight.reshape(len(points), 1, -1)
    flat = points.reshape(len(points), -1, 2)
    pixels = (np.arange(image_size) + 0.5) / image_size
    offsets = (pixels[None, None, :, None] - flat.transpose(0, 2, 1)[:, :, None, :]) ** 2
    dabs = np.exp(-offsets / (2 * pen[:, None, None, None] ** 2))  # [drawings, 2, pixels, dabs]
    ink = dabs[:, 1] @ (weight * dabs[:, 0]).transpose(0, 2, 1)
    return np.rint(255 * np.clip(1.3 * ink, 0.0, 1.0)).astype(np.uint8)[:, None]
