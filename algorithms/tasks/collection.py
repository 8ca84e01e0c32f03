"""Any collection of images as a data set: class names, a count for each, images by class and index.

A plug-in has no more to write than that. The images are prepared once, as those of every other
data set, in a file whose name follows from the settings and from the code of the plug-in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.plugins import files, label_of
from metaray.algorithms.tasks.content import ImageClass, Images
from metaray.algorithms.tasks.dataset import ClassLists, GeneratedTasks, ImageDataset, LazyClass
from metaray.algorithms.tasks.image_files import resized
from metaray.algorithms.tasks.splits import Splits, random_split

_SHARED = set(DataConfig.model_fields)  # a config class of a plug-in adds to them


class ImageCollection(Protocol):
    """Images by class.

    >>> class Shades:
    ...     class_names = ("dark", "grey", "light")
    ...
    ...     def count(self, class_id):
    ...         return 20
    ...
    ...     def image(self, class_id, index):
    ...         return np.full((28, 28), 80 * class_id + index, np.uint8)
    >>> loaded = CollectionClass(Shades(), 1, image_size=28).load()
    >>> loaded.name, loaded.images.shape
    ('grey', (20, 1, 28, 28))
    """

    @property
    def class_names(self) -> Sequence[str]:
        """The names of the classes, each once."""

    def count(self, class_id: int) -> int:
        """How many images the class at this place of ``class_names`` has."""

    def image(self, class_id: int, index: int) -> NDArray[np.uint8]:
        """One image, uint8 ``[H, W]`` or ``[H, W, 3]``; it is resized to ``data.image_size``."""


@dataclass(frozen=True)
class CollectionClass:
    """One class of a collection."""

    collection: ImageCollection
    class_id: int
    image_size: int

    @property
    def num_images(self) -> int:
        """As the collection says."""
        return self.collection.count(self.class_id)

    def load(self) -> ImageClass:
        """All images of the class."""
        name = self.collection.class_names[self.class_id]
        images = [self._image(name, index) for index in range(self.num_images)]
        if not images:
            raise InputError(f"class {name} has no images: add some or remove the class")
        return ImageClass(name, name, np.stack(images))

    def _image(self, name: str, index: int) -> Images:
        pixels = np.asarray(self.collection.image(self.class_id, index))
        grey_or_colour = pixels.ndim == 2 or pixels.shape[2:] == (3,)
        if pixels.dtype != np.uint8 or not grey_or_colour:
            raise InputError(
                f"image {index} of class {name} is {pixels.dtype} {list(pixels.shape)}: return "
                "uint8 [H, W] or [H, W, 3]"
            )
        return resized(pixels, self.image_size)


class CollectionDataset(ImageDataset):
    """A plug-in's collection, made from its settings by ``build``."""

    splits: ClassVar[tuple[str, ...]] = ("random",)
    settings: ClassVar[tuple[str, ...]] = (
        "root",
        "split_seed",
        "split_ratio",
        "rotations",
        "augment",
        "channels",
    )

    def __init__(self, name: str, build: Callable[[DataConfig], ImageCollection]) -> None:
        self.name = self.prepared_as = label_of(name)  # type: ignore[misc]
        self.description = _first_line(build)  # type: ignore[misc]
        self._build = build

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        own = {key: value for key, value in data.model_dump().items() if key not in _SHARED}
        code = b"".join(file.read_bytes() for file in files())
        return {
            "image_size": data.image_size,
            "root": data.root or "",
            "settings": repr(sorted(own.items())),
            "code": hashlib.sha256(code).hexdigest(),
        }

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        return {}

    @override
    @contextmanager
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        collection = self._build(data)
        yield [
            CollectionClass(collection, class_id, data.image_size)
            for class_id in range(len(collection.class_names))
        ]

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        return random_split(classes.names, data.split_seed, data.split_ratio)


def as_dataset(name: str, target: Any) -> ImageDataset | GeneratedTasks:
    """What a plug-in offers, as an entry of the catalog.

    Raises:
        InputError: it makes neither images nor episodes.
    """
    if isinstance(target, ImageDataset):
        return target
    if isinstance(target, type) and issubclass(target, ImageDataset):
        return target()
    if hasattr(target, "sample") and callable(target):
        return GeneratedTasks(_first_line(target), target)
    if callable(target):
        return CollectionDataset(name, target)
    raise InputError(
        f"data.name = {name} is a {type(target).__name__}: name an ImageDataset, or a class that "
        "is made from the settings and has class_names, count and image, or sample"
    )


def _first_line(target: object) -> str:
    return ((target.__doc__ or "").strip().splitlines() or [""])[0]
