"""Decoding a large data set in parts, so that it can be done in parallel and taken up again.

The classes are cut into chunks of a few hundred images. Each chunk becomes its own file, which is
written atomically. The files are then read back in order. So the result does not depend on which
process decoded which chunk, and a preparation that was killed finds the chunks that were done.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.dataset import LazyClass
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.store_writer import write_store

PARTS_FROM = 5_000
"""images to decode from which a set is prepared in parts"""
_CHUNK = 500  # images: some 10 MB at 84 x 84, and seconds of decoding

Progress = Callable[[int, int], None]
"""called with the number of classes done and the number of all classes"""


class Chunk(NamedTuple):
    """Consecutive classes, and the file to decode them into."""

    path: Path
    classes: Sequence[LazyClass]

    @property
    def num_images(self) -> int:
        """Images to decode."""
        return sum(item.num_images for item in self.classes)


Mapper = Callable[[Callable[[Chunk], int], Sequence[Chunk]], Iterable[int]]
"""calls a function with every chunk, here or elsewhere, and yields its results as they come"""


def write_part(chunk: Chunk) -> int:
    """Decode ``chunk`` into its file; the number of its classes."""
    write_store(chunk.path, (c.load() for c in chunk.classes), name="part", parameters={})
    return len(chunk.classes)


def decoded_in_parts(
    classes: Sequence[LazyClass], folder: Path, mapper: Mapper, progress: Progress
) -> Iterator[ImageClass]:
    """``classes`` in order, decoded by ``mapper`` into files in ``folder``, which stays behind."""
    chunks = list(_cut(classes, folder))
    waiting = [chunk for chunk in chunks if _open(chunk) is None]
    done = len(classes) - sum(len(chunk.classes) for chunk in waiting)
    for count in mapper(write_part, waiting):
        done += count
        progress(done, len(classes))
    for chunk in chunks:
        yield from _read(chunk)


def remove_parts(folder: Path) -> None:
    """Remove what ``decoded_in_parts`` left; another process may be at it as well."""
    shutil.rmtree(folder, ignore_errors=True)


def _cut(classes: Sequence[LazyClass], folder: Path) -> Iterator[Chunk]:
    first, images = 0, 0
    for last, item in enumerate(classes):
        images += item.num_images
        if images >= _CHUNK or last == len(classes) - 1:
            count = last - first + 1
            yield Chunk(folder / f"{first:06d}-{count:04d}.arrow", classes[first : last + 1])
            first, images = last + 1, 0


def _open(chunk: Chunk) -> ImageStore | None:
    try:
        return ImageStore.open(chunk.path)
    except InputError:  # not there yet, or spoilt: it is decoded again
        return None


def _read(chunk: Chunk) -> Iterator[ImageClass]:
    store = _open(chunk)
    if store is None:  # another process that prepared the same set was done first and cleared up
        yield from (item.load() for item in chunk.classes)
        return
    store.verify()
    header = store.header
    for class_id, (name, group) in enumerate(
        zip(header.class_names, header.class_groups, strict=True)
    ):
        yield ImageClass(name, group, store.images(class_id))
