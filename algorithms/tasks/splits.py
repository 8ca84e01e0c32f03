"""Which classes are for training, for validation and for test: pure functions of their names.

``alphabet``
    Whole alphabets are held out. Omniglot: its evaluation set is the test; of its 30 background
    alphabets the last five in sorted order (one in six) are for validation, the rest for training.
    Glyphs: the first 64 % of the scripts are for training, 16 % for validation, 20 % for test.
``vinyals``
    Omniglot only: the 1028 / 172 / 423 characters of Vinyals et al. 2016 (Matching Networks), with
    the validation alphabets that Snell et al. 2017 (Prototypical Networks) took. In sorted order,
    background first, the test is the last 423 characters, which start within Gurmukhi.
``random``
    A shuffle of the sorted class names by ``split_seed``. Omniglot: 1100 / 100 / 423 as in Finn et
    al. 2017 (MAML), or in that proportion; glyphs: 64 / 16 / 20 %; the user's own data:
    ``split_ratio``.
``designer``
    Emoji only: classes as by ``random``; the pictures of test classes are by other designers.
``published``
    The one split of a set that was published with it; the file of the set states it.
``source``
    ``features`` only: the split of the images that ``metaray embed`` read.
``lists``
    ``folder`` and ``features``: class names in ``train.txt``, ``val.txt`` and ``test.txt``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from numpy.random import SeedSequence, default_rng

from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.store import ImageStore

SPLIT_RULES = {
    "alphabet": "whole alphabets (of glyphs and fonts: scripts) are held out",
    "vinyals": "the 1028 / 172 / 423 characters of Vinyals et al. 2016",
    "random": "a shuffle of the classes by data.split_seed; of your own by data.split_ratio, too",
    "designer": "of emoji: concepts at random, and test pictures by data.test_designers alone",
    "published": "the one split that was published with the data set",
    "source": "of features: the split of the images that metaray embed read",
    "lists": "class names in train.txt, val.txt and test.txt of data.split_lists",
}
"""what each value of data.split means, in a line"""

T = TypeVar("T")
Splits = Mapping[Split, tuple[int, ...]]
"""class ids of every split, ascending"""

VINYALS_VALIDATION = (
    "background/Armenian",
    "background/Bengali",
    "background/Early_Aramaic",
    "background/Hebrew",
    "background/Mkhedruli_(Georgian)",
)
_VINYALS_SIZES = {"train": 1028, "val": 172, "test": 423}
GLYPH_SHARES = (0.64, 0.16, 0.20)
MAML_SHARES = (1100 / 1623, 100 / 1623, 423 / 1623)


def script_split(groups: Sequence[str]) -> Splits:
    """By script, in order: 64 / 16 / 20 %, and at least one script in each."""
    train, val, _ = _cut(sorted(set(groups)), GLYPH_SHARES, "scripts")
    return by_label("train" if g in train else "val" if g in val else "test" for g in groups)


def omniglot_alphabet_split(groups: Sequence[str]) -> Splits:
    """Background alphabets for training, the last of them for validation; evaluation: test."""
    background = sorted({g for g in groups if g.startswith("background/")})
    if len(background) < 2:
        raise InputError(
            f"the alphabet split needs 2 background alphabets, found {len(background)}: "
            "use the whole of Omniglot or data.split = random"
        )
    val = set(background[-max(1, len(background) // 6) :])
    train = set(background) - val
    return by_label("train" if g in train else "val" if g in val else "test" for g in groups)


def vinyals_split(names: Sequence[str], groups: Sequence[str]) -> Splits:
    """The published split by character; InputError unless this is the whole of Omniglot."""
    if len(names) != sum(_VINYALS_SIZES.values()):
        raise _not_whole(f"{len(names)} classes")
    order = sorted(range(len(names)), key=lambda c: (groups[c].split("/"), names[c].split("/")))
    test = set(order[-_VINYALS_SIZES["test"] :])
    val = {c for c in order if groups[c] in VINYALS_VALIDATION} - test
    splits = by_label(
        "test" if c in test else "val" if c in val else "train" for c in range(len(names))
    )
    sizes = {name: len(classes) for name, classes in splits.items()}
    if sizes != _VINYALS_SIZES:
        raise _not_whole(f"alphabets that give {sizes}")
    return splits


def _not_whole(found: str) -> InputError:
    return InputError(
        f"the vinyals split is of Omniglot's 1623 characters, found {found}: "
        "use the whole of Omniglot or another data.split"
    )


def random_split(names: Sequence[str], seed: int, shares: tuple[float, float, float]) -> Splits:
    """Shuffle the sorted names by ``seed``, then cut: the order of the data does not matter."""
    ordered = sorted(range(len(names)), key=lambda c: names[c])
    shuffled = default_rng(SeedSequence(seed)).permutation(len(names))
    parts = _cut([ordered[i] for i in shuffled], shares, "classes")
    train, val, test = (tuple(sorted(part)) for part in parts)
    return {"train": train, "val": val, "test": test}


def check_leaks(store: ImageStore, splits: Splits) -> None:
    """Raise InputError when two splits share a class, or two of their classes an image."""
    check_disjoint(store, splits)
    for found in shared_between(store, splits):
        raise InputError(
            f"classes of different splits share an image of {store.header.image_shape}: "
            f"{found}; raise data.image_size, or remove that image from the data"
        )


def check_disjoint(store: ImageStore, splits: Splits) -> None:
    """Raise InputError when two splits share a class."""
    split_of: dict[int, Split] = {}
    names = store.header.class_names
    for split, classes in splits.items():
        for c in classes:
            if c in split_of:
                raise InputError(f"class {names[c]} is both in {split_of[c]} and in {split}")
            split_of[c] = split


def shared_between(store: ImageStore, splits: Splits) -> Iterator[str]:
    """The classes of different splits that hold one and the same image, a text for each case."""
    split_of = {c: split for split, classes in splits.items() for c in classes}
    names = store.header.class_names
    for sharing in store.header.shared_images:
        if len({split_of[c] for c in sharing if c in split_of}) > 1:
            yield ", ".join(f"{names[c]} ({split_of[c]})" for c in sharing if c in split_of)


def by_label(labels: Iterable[Split | None]) -> Splits:
    """Class ids by the label of each, None for a class in no split; InputError if one is empty."""
    classes: dict[Split, list[int]] = {"train": [], "val": [], "test": []}
    for class_id, label in enumerate(labels):
        if label is not None:
            classes[label].append(class_id)
    if not all(classes.values()):
        sizes = {name: len(ids) for name, ids in classes.items()}
        raise InputError(f"the split leaves a part without classes ({sizes}): use another one")
    return {name: tuple(ids) for name, ids in classes.items()}


def by_group(split_of: Mapping[str, Split], groups: Iterable[str]) -> Splits:
    """Class ids by the group of each; InputError where a group is none of ``split_of``."""
    found = list(groups)
    unknown = sorted(set(found) - split_of.keys())
    if unknown:
        raise InputError(
            f"the prepared set has classes of the group {unknown[0]}, which the data set does not "
            "have: delete the prepared set and prepare it again"
        )
    return by_label(split_of[group] for group in found)


def _cut(
    items: Sequence[T], shares: tuple[float, float, float], what: str
) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
    """Three consecutive parts by shares, none empty."""
    if len(items) < 3:
        raise InputError(
            f"three splits need at least 3 {what}, found {len(items)}: "
            "use more classes or another data.split"
        )
    test = min(max(1, round(shares[2] * len(items))), len(items) - 2)
    val = min(max(1, round(shares[1] * len(items))), len(items) - test - 1)
    train = len(items) - val - test
    return items[:train], items[train : train + val], items[train + val :]
