"""Classes whose images are files, decoded with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageOps

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass, Images
from metaray.algorithms.tasks.decoding import decode
from metaray.algorithms.tasks.file_tree import FileTree
from metaray.algorithms.tasks.limits import ReadLimits

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm",
)  # fmt: skip
RESIZING = "lanczos"

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a tag of TIFF, and its value for inverted grey
_SAMPLE = 128  # pixels per side that are enough to tell whether an image is white
_NEARLY_WHITE = 16.0  # mean distance from white, of 255, below which an image counts as white

Box = tuple[float, float, float, float]
"""left, top, width and height in pixels"""


@dataclass(frozen=True, kw_only=True)
class ImageFileClass:
    """One class: where its images are. Colour images, resized to a square by Lanczos."""

    name: str
    group: str
    files: FileTree
    paths: Sequence[str]
    image_size: int
    boxes: Sequence[Box] | None = None
    """the part to keep of each image; None: all of it"""
    limits: ReadLimits = field(default_factory=ReadLimits.from_environment)

    @property
    def num_images(self) -> int:
        """Images of the class."""
        return len(self.paths)

    def load(self) -> ImageClass:
        """Decode all images in their order: uint8 ``[n, 3, size, size]``."""
        if not self.paths:
            raise InputError(f"class {self.name} has no images: add some or remove the class")
        boxes: Sequence[Box | None] = self.boxes or [None] * len(self.paths)
        images = [self._decode(*item) for item in zip(self.paths, boxes, strict=True)]
        return ImageClass(self.name, self.group, np.stack(images))

    def _decode(self, path: str, box: Box | None) -> Images:
        colour = decode(
            self.files.read(path),
            f"{path} of class {self.name}",
            self.limits,
            upright,
            "fetch it again or remove it",
        )
        if box is not None:
            colour = colour.crop(_pixels(box, colour.size, path))
        return resized(np.asarray(colour), self.image_size)


def upright(image: Image.Image) -> Image.Image:
    """In 8-bit colours, turned as the camera's EXIF orientation says.

    Transparent parts show a white ground, or a black one where the image itself is white. Grey
    images of 16 bits keep their high byte, unless no value needs it: Pillow's own conversion cuts
    them off at 255.
    """
    inverted = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _in_8_bits(image, inverted).convert("RGB")
    if image.has_transparency_data:
        return _on_ground(image.convert("RGBA"))
    return image.convert("RGB")


def _in_8_bits(image: Image.Image, inverted: bool) -> Image.Image:
    """A grey image of 16 or 32 bits; ``inverted``: 0 is white, which Pillow leaves as it is."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError("its values do not fit into 8 or 16 bits")
    pixels = (values >> 8 if values.max() > 0xFF else values).astype(np.uint8)
    return Image.fromarray(0xFF - pixels if inverted else pixels)


def _on_ground(image: Image.Image) -> Image.Image:
    """An RGBA image on white, or on black where what is visible of it is white."""
    small = image.copy()
    small.thumbnail((_SAMPLE, _SAMPLE))
    pixels = np.asarray(small, np.float64)
    visible, distance = pixels[..., 3], 255.0 - pixels[..., :3].mean(axis=-1)
    is_white = (visible * distance).sum() < _NEARLY_WHITE * visible.sum()
    ground = Image.new("RGB", image.size, "black" if is_white else "white")
    ground.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return ground


def resized(pixels: Images, image_size: int) -> Images:
    """Pixels ``[H, W, 3]`` as ``[3, image_size, image_size]``, by Lanczos if the size differs.

    Grey ``[H, W]`` become ``[1, image_size, image_size]``.
    """
    if pixels.shape[:2] != (image_size, image_size):
        image = Image.fromarray(pixels)
        pixels = np.asarray(image.resize((image_size,) * 2, Image.Resampling.LANCZOS))
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


def _pixels(box: Box, size: tuple[int, int], path: str) -> tuple[int, int, int, int]:
    """The whole pixels of ``box`` within an image of ``size`` (width, height)."""
    left, top, width, height = box
    right, bottom = min(size[0], round(left + width)), min(size[1], round(top + height))
    left, top = max(0, round(left)), max(0, round(top))
    if right <= left or bottom <= top:
        raise InputError(
            f"the bounding box of {path} ({box}) lies outside of it ({size[0]} x {size[1]}): "
            "fetch the data set again"
        )
    return left, top, right, bottom
