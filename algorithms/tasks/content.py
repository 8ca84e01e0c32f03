"""The images of a data set class by class, and the hash of all of them."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaray.algorithms.errors import InputError

Images = NDArray[np.uint8]  # [n, C, H, W]
Vectors = NDArray[np.float32]  # [n, D]
Examples = NDArray[Any]
"""images or vectors"""


class ImageClass(NamedTuple):
    """All images, or vectors, of one class on their way into a store."""

    name: str
    group: str
    images: Examples


def check_name(name: str) -> None:
    """Raise InputError where the name of a class is not text, as files of old systems may be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"the name of class {name} is not UTF-8: rename its folder") from None


class ContentHash:
    """Hash of a data set, and which classes share an image, gathered class by class."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.names: list[str] = []
        self.groups: list[str] = []
        self._shape = shape
        self._hash = hashlib.sha256(repr(tuple(shape)).encode())
        self._owner: dict[bytes, int] = {}
        self._shared: dict[bytes, set[int]] = {}

    def add(self, item: ImageClass) -> None:
        """Take in the next class; InputError when it is empty or its images have another shape."""
        if len(item.images) == 0 or item.images.shape[1:] != self._shape:
            raise InputError(
                f"class {item.name} has images of shape {item.images.shape}, "
                f"expected at least one of {tuple(self._shape)}"
            )
        check_name(item.name)
        class_id = len(self.names)
        self.names.append(item.name)
        self.groups.append(item.group)
        self._hash.update(f"{item.name}\0{item.group}\0{len(item.images)}\n".encode())
        for image in item.images:
            data = image.tobytes()
            self._hash.update(data)
            digest = hashlib.sha256(data).digest()
            owner = self._owner.setdefault(digest, class_id)
            if owner != class_id:
                self._shared.setdefault(digest, {owner}).add(class_id)

    @property
    def sha256(self) -> str:
        """Hash of all that was added, in order, in hexadecimal."""
        return self._hash.hexdigest()

    @property
    def shared_images(self) -> tuple[tuple[int, ...], ...]:
        """Sets of classes that hold one and the same image, byte for byte."""
        return tuple(sorted({tuple(sorted(classes)) for classes in self._shared.values()}))
