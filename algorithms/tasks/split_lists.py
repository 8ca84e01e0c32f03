"""The split ``lists``: names of classes in ``train.txt``, ``val.txt`` and ``test.txt``."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import decoded, refusing_damage
from metaray.algorithms.tasks.splits import Splits, by_label


def split_by_lists(names: Sequence[str], lists: str | None) -> Splits:
    """Classes of ``names`` by the lists in the folder ``lists``; those in no list are in no split.

    Raises:
        InputError: there is no folder, a list cannot be read, or it names a class that is not there
            or is in two lists.
    """
    if lists is None:
        raise InputError(
            "data.split = lists needs data.split_lists: a folder with train.txt, val.txt and "
            "test.txt, a class name a line"
        )
    folder = Path(lists)
    split_of: dict[str, Split] = {}
    known = _by_any_form(names)
    for split in get_args(Split):
        path = folder / f"{split}.txt"
        for listed in _read_list(path):
            name = known.get(listed) or known.get(_composed(listed), listed)
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f", did you mean {near[0]}?" if near else f"; classes are {_some(names)}"
                raise InputError(f"{path} names the class {name}, which is not there{hint}")
            if name in split_of:
                raise InputError(
                    f"class {name} is listed twice, for {split_of[name]} and {split}: leave it out "
                    "of one of the lists"
                )
            split_of[name] = split
    return by_label(split_of.get(name) for name in names)


def _by_any_form(names: Sequence[str]) -> dict[str, str]:
    """Classes by their names, and by these with composed letters where that says which is meant.

    A Mac writes ``é`` into names of files as two characters, most editors as one.
    """
    composed = Counter(map(_composed, names))
    unique = {_composed(name): name for name in names if composed[_composed(name)] == 1}
    return unique | {name: name for name in names}


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _read_list(path: Path) -> list[str]:
    with refusing_damage(
        f"cannot read the list of classes {path}",
        "data.split_lists is a folder with train.txt, val.txt and test.txt, in UTF-8",
    ):
        lines = decoded(path.read_bytes()).splitlines()
    return [line.strip() for line in lines if line.strip()]


def _some(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
