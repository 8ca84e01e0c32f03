"""Classes from works of several designers: a class is a thing, an example is a design of it.

``Drawings`` are what one designer drew: images by key, such as a code point. Some keys are one
glyph under several names (A of Latin, Greek and Cyrillic). They are found by their images:

* Two keys are joined where at least half of the designers that have both draw them alike, byte for
  byte, and at least a quarter of those that have the rarer one have both. The class is named by the
  smaller key. A designer gives it one image, that of its smallest key.
* An image that is then still in two classes is left out of both: it would be right in each.
* An image that a designer uses for more than eight keys stands for what is missing, and is left
  out.
* The same image by two designers is of one design, and counts once.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from metaray.algorithms.tasks.content import Images

_MOST_ALIKE = 8  # keys of one designer that may share an image
_JOINED_FROM = 0.5  # share of the designers of both keys that draw them alike
_HAVE_BOTH = 0.25  # share of the designers of the rarer key that have the other

PLACEHOLDERS = "pictures that stand for what a design lacks"
AMBIGUOUS = "pictures that two classes share"
COPIES = "pictures that another design has, byte for byte"
SECOND = "pictures of a second name of the same class in one design"
RARE = "classes in too few designs"


class Drawings(NamedTuple):
    """What one designer drew."""

    designer: str
    images: Mapping[str, Images]


class DesignedClass(NamedTuple):
    """A class: all its keys, and an image by designer."""

    keys: tuple[str, ...]
    images: dict[str, Images]


class Designed(NamedTuple):
    """Classes in the order of their keys, and how many of what were left out."""

    classes: list[DesignedClass]
    left_out: Counter[str]


def classes_of_designs(designs: list[Drawings], least: int) -> Designed:
    """The classes that at least ``least`` designers drew. The order of ``designs`` decides which
    designer keeps an image that two of them have."""
    left_out: Counter[str] = Counter()
    kept = [_without_placeholders(one, left_out) for one in designs]
    names = _joined(kept)
    members: dict[str, dict[str, Images]] = defaultdict(dict)
    owners: dict[bytes, set[str]] = defaultdict(set)
    for one in kept:
        for key in sorted(one.images):
            name = names.get(key, key)
            owners[_hash(one.images[key])].add(name)
            if one.designer in members[name]:
                left_out[SECOND] += 1
            else:
                members[name][one.designer] = one.images[key]
    keys_of: dict[str, list[str]] = defaultdict(list)
    for key in sorted({key for one in kept for key in one.images}):
        keys_of[names.get(key, key)].append(key)
    classes = []
    for name in sorted(members):
        images = _distinct(members[name], owners, left_out)
        if len(images) >= least:
            classes.append(DesignedClass(tuple(keys_of[name]), images))
        else:
            left_out[RARE] += 1
    return Designed(classes, left_out)


def _without_placeholders(one: Drawings, left_out: Counter[str]) -> Drawings:
    uses = Counter(_hash(image) for image in one.images.values())
    images = {key: im for key, im in one.images.items() if uses[_hash(im)] <= _MOST_ALIKE}
    left_out[PLACEHOLDERS] += len(one.images) - len(images)
    return Drawings(one.designer, images)


def _joined(designs: list[Drawings]) -> dict[str, str]:
    """The name of the class of every key that is joined with another: its smallest key."""
    alike: Counter[tuple[str, str]] = Counter()
    for one in designs:
        groups: dict[bytes, list[str]] = defaultdict(list)
        for key in sorted(one.images):
            groups[_hash(one.images[key])].append(key)
        for group in groups.values():
            alike.update(combinations(group, 2))
    owners: dict[str, set[str]] = defaultdict(set)
    for one in designs:
        for key in one.images:
            owners[key].add(one.designer)
    names: dict[str, str] = {}
    for first, second in sorted(alike):
        both = len(owners[first] & owners[second])
        rarer = min(len(owners[first]), len(owners[second]))
        if alike[first, second] < _JOINED_FROM * both or both < _HAVE_BOTH * rarer:
            continue
        a, b = names.get(first, first), names.get(second, second)
        low, high = (a, b) if a < b else (b, a)
        names |= {key: low for key, name in names.items() if name == high}
        names |= {first: low, second: low}
    return names


def _distinct(
    images: dict[str, Images], owners: dict[bytes, set[str]], left_out: Counter[str]
) -> dict[str, Images]:
    found: dict[str, Images] = {}
    seen: set[bytes] = set()
    for designer, image in images.items():
        digest = _hash(image)
        if len(owners[digest]) > 1:
            left_out[AMBIGUOUS] += 1
        elif digest in seen:
            left_out[COPIES] += 1
        else:
            seen.add(digest)
            found[designer] = image
    return found


def _hash(image: Images) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()
