"""Classes whose images are files, decoded with Pillow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass, Images
from metaray.algorithms.tasks.file_tree import FileTree

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
RESIZING = "lanczos"

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
        data = self.files.read(path)
        try:
            with Image.open(io.BytesIO(data)) as image:
                colour = _upright(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            # Pillow raises each of them, by the damage; of an unknown format it names the buffer
            unknown = isinstance(error, UnidentifiedImageError)
            reason = "its format is unknown" if unknown else error
            raise InputError(
                f"{path} of class {self.name} is not an image that can be decoded ({reason}): "
                "fetch it again or remove it"
            ) from error
        if box is not None:
            colour = colour.crop(_pixels(box, colour.size, path))
        return resized(np.asarray(colour), self.image_size)


def _upright(image: Image.Image) -> Image.Image:
    """In 8-bit colours, turned as the camera's EXIF orientation says.

    Grey images of 16 bits keep their high byte; Pillow's own conversion cuts them off at 255.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("its values do not fit into 8 or 16 bits")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    return image.convert("RGB")


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
