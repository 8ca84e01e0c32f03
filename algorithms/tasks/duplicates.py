"""Images that occur more than once: they make a test easier than it looks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass, Images
from metaray.algorithms.tasks.store import ImageStore

_PARTS: tuple[str, ...] = get_args(Split)


def repeats_within_classes(store: ImageStore) -> int:
    """How many images occur earlier in their class, byte for byte."""
    return sum(len(store.images(c)) - len(_hashes(store.images(c))) for c in range(len(store)))


def repeats_sentence(store: ImageStore) -> str:
    """What should be known of such images; empty if there are none."""
    count = repeats_within_classes(store)
    if not count:
        return ""
    images = "1 image occurs" if count == 1 else f"{count:,} images occur"
    return (
        f"{images} more than once within a class, which makes a test easier than it looks: remove "
        "the copies, or set data.drop_duplicates = true"
    )


def image_digests(store: ImageStore, classes: Iterable[int]) -> NDArray[np.uint64]:
    """The first 64 bits of the SHA-256 of every image of ``classes``, sorted, each once."""
    return digests(image for c in classes for image in store.images(c))


def digests(images: Iterable[Images]) -> NDArray[np.uint64]:
    """The first 64 bits of the SHA-256 of each of ``images``, sorted, each once."""
    found = {_hash(image)[:8] for image in images}
    return np.sort(np.frombuffer(b"".join(found), np.uint64))


def without_duplicates(classes: Iterable[ImageClass]) -> Iterator[ImageClass]:
    """The classes without images that came before in the same class, also in another part.

    Classes are sorted by name, so that of copies in ``test/cat`` and ``train/cat`` the test keeps
    its own.

    Raises:
        InputError: a class has no other images.
    """
    seen: dict[str, set[bytes]] = {}
    for item in classes:
        part, _, rest = item.name.partition("/")
        known = seen.setdefault(rest if part in _PARTS and rest else item.name, set())
        kept = []
        for row, image in enumerate(item.images):
            digest = _hash(image)
            if digest not in known:
                known.add(digest)
                kept.append(row)
        if not kept:
            raise InputError(
                f"class {item.name} has only images that are copies of others of the same class: "
                "add others or remove it"
            )
        yield item._replace(images=item.images[kept])


def _hashes(images: Images) -> set[bytes]:
    return {_hash(image) for image in images}


def _hash(image: Images) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()
