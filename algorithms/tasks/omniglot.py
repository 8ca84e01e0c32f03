"""Omniglot (Lake et al. 2015): 1623 characters of 50 alphabets, 20 drawings each.

Reads the published layout, ``<set>/<alphabet>/<character>/<drawing>.png`` with the sets
``images_background`` and ``images_evaluation``, from the two zips or from extracted folders; where
both lie side by side the zip is read. ``data.subset`` takes ``images_background`` alone, or has one
of the two minimal backgrounds in its place, ``images_background_small1`` and ``..._small2``: five
alphabets each, with the same evaluation set (Lake et al. 2019, arXiv 1902.03477).

Drawings are 105 x 105, black ink on white. They are resized with Pillow's Lanczos filter, as the
authors of MAML did, and inverted, so that ink is 255.

In the published data one drawing occurs twice (Braille/character01, drawings 3 and 19), within
one character; no two characters share a drawing, at 105 or at 28 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass, Images
from metaray.algorithms.tasks.dataset import ClassLists, ImageDataset, LazyClass
from metaray.algorithms.tasks.decoding import decode
from metaray.algorithms.tasks.file_tree import FileTree, FolderTree, ZipTree, files_below
from metaray.algorithms.tasks.image_files import RESIZING
from metaray.algorithms.tasks.limits import ReadLimits
from metaray.algorithms.tasks.splits import (
    MAML_SHARES,
    Splits,
    omniglot_alphabet_split,
    random_split,
    script_split,
    vinyals_split,
)

VERSION = 1
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

SETS = ("images_background", "images_evaluation")
"""the whole of Omniglot"""
_SETS_OF: dict[str, tuple[str, ...]] = {
    "all": SETS,
    "background": ("images_background",),
    "small1": ("images_background_small1", "images_evaluation"),
    "small2": ("images_background_small2", "images_evaluation"),
}
_TORCHVISION_FOLDER = "omniglot-py"
_WHERE_FROM = "https://github.com/brendenlake/omniglot (its folder python)"


class Omniglot(ImageDataset):
    """See the module."""

    name = "omniglot"
    description = "1623 handwritten characters of 50 alphabets, 20 drawings each (Lake et al. 2015)"
    splits = ("alphabet", "vinyals", "random")
    settings = ("root", "download", "subset", "rotations", "split_seed", "channels")
    needs = (
        f"put images_background.zip and images_evaluation.zip from {_WHERE_FROM} into a folder and "
        "point data.root at it, or set data.download = true"
    )
    prepared_as = "omniglot"
    inverted = True

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        found: dict[str, str | int] = {
            "version": VERSION,
            "image_size": data.image_size,
            "filter": RESIZING,
        }
        return found if data.subset == "all" else {**found, "subset": data.subset}

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        sets = _SETS_OF[data.subset]
        if not is_whole(root, sets):
            return None
        found: dict[str, Path] = {}
        for name, path in _find_sets(root, sets).items():
            below = {"": path} if path.is_file() else files_below(path)
            found |= {f"{name}/{file}": place for file, place in below.items()}
        return found

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        sets = _SETS_OF[data.subset]
        if data.download and not is_whole(root, sets):
            if not set(sets) <= set(SETS):
                raise InputError(
                    f"data.subset = {data.subset} cannot be downloaded: {_add(root, sets)}"
                )
            download(root)
        with open_characters(root, sets) as characters:
            yield [_SizedCharacter(character, data.image_size) for character in characters]

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        if data.split == "random":
            return random_split(classes.names, data.split_seed, MAML_SHARES)
        if data.split == "vinyals":
            return vinyals_split(classes.names, classes.groups)
        if data.subset == "background":
            return script_split(classes.groups)
        return omniglot_alphabet_split(classes.groups)


class _SizedCharacter(NamedTuple):
    character: Character
    image_size: int

    @property
    def num_images(self) -> int:
        """Drawings of the character."""
        return len(self.character.drawings)

    def load(self) -> ImageClass:
        """The drawings, decoded, in the size that is wanted."""
        return self.character.load(self.image_size)


@dataclass
class Character:
    """One class: where its drawings are."""

    set_name: str
    name: str  # alphabet/character
    files: FileTree
    drawings: list[str] = field(default_factory=list)
    limits: ReadLimits = field(default_factory=ReadLimits.from_environment)

    def load(self, image_size: int) -> ImageClass:
        """Decode all drawings, in the order of their names: uint8 ``[n, 1, size, size]``."""
        if not self.drawings:
            raise InputError(
                f"Omniglot character {self.set_name}/{self.name} has no drawings: "
                f"fetch {self.set_name}.zip again ({_WHERE_FROM})"
            )
        images = [self._decode(drawing, image_size) for drawing in self.drawings]
        alphabet = self.name.split("/")[0]
        part = self.set_name.removeprefix("images_").split("_")[0]  # a small background is one
        group = f"{part}/{alphabet}"
        return ImageClass(self.name, group, np.stack(images))

    def _decode(self, drawing: str, image_size: int) -> Images:
        return decoded_drawing(
            self.files.read(drawing),
            f"{self.set_name}/{drawing}",
            self.limits,
            image_size,
            f"fetch {self.set_name}.zip again ({_WHERE_FROM})",
        )


def decoded_drawing(
    data: bytes, name: str, limits: ReadLimits, image_size: int, remedy: str
) -> Images:
    """One drawing, resized and inverted: uint8 ``[1, size, size]``; InputError as of ``decode``."""
    grey = decode(data, name, limits, lambda image: image.convert("L"), remedy)
    return 255 - np.asarray(grey.resize((image_size,) * 2, Image.Resampling.LANCZOS))[None]


@contextmanager
def open_characters(root: Path, sets: Sequence[str] = SETS) -> Iterator[list[Character]]:
    """The characters below ``root``: the background set first, each set sorted by name.

    InputError when ``root`` does not hold all ``sets``; damage to a drawing shows on loading it.
    """
    with ExitStack() as stack:
        trees = {name: _open_tree(path) for name, path in _find_sets(root, sets).items()}
        for tree in trees.values():
            stack.callback(tree.close)
        yield [character for name in sets for character in _scan(name, trees[name])]


def download(root: Path) -> None:
    """Fetch both zips into ``root/omniglot-py`` through torchvision, which checks their hash."""
    from torchvision.datasets import Omniglot

    try:
        for background in (True, False):
            Omniglot(str(root), background=background, download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"Omniglot could not be downloaded ({error}): {_add(root)}") from error


def is_whole(root: Path, sets: Sequence[str] = SETS) -> bool:
    """Whether ``root`` holds all ``sets``, as they are published or as torchvision stores them."""
    return any(len(_sets_in(base, sets)) == len(sets) for base in _bases(root))


def _bases(root: Path) -> tuple[Path, Path]:
    return root, root / _TORCHVISION_FOLDER


def _sets_in(base: Path, sets: Sequence[str]) -> dict[str, Path]:
    candidates = {name: (base / f"{name}.zip", base / name) for name in sets}
    found = {name: [p for p in paths if p.exists()] for name, paths in candidates.items()}
    return {name: paths[0] for name, paths in found.items() if paths}


def _find_sets(root: Path, sets: Sequence[str]) -> dict[str, Path]:
    add = _add(root, sets)
    if not root.is_dir():
        raise InputError(f"no folder {root} with Omniglot: {add}")
    found = max((_sets_in(base, sets) for base in _bases(root)), key=len)
    if not found:
        others = ", ".join(sorted(p.name for p in root.iterdir())[:5]) or "nothing"
        raise InputError(f"{root} does not hold Omniglot (found: {others}): {add}")
    missing = [name for name in sets if name not in found]
    if missing:
        if missing == ["images_evaluation"] and "images_background" in found:
            add += "; or set data.subset = background, which needs images_background alone"
        raise InputError(f"{root} holds half of Omniglot, {missing[0]} is missing: {add}")
    return found


def _add(root: Path, sets: Sequence[str] = SETS) -> str:
    files = " and ".join(f"{name}.zip" for name in sets)
    them = "it" if len(sets) == 1 else "them"
    return f"put {files} from {_WHERE_FROM} into {root}, or point data.root at {them}" + (
        ", or set data.download = true" if set(sets) <= set(SETS) else ""
    )


def _open_tree(path: Path) -> FileTree:
    return FolderTree(path) if path.is_dir() else ZipTree(path, path.stem)


def _scan(set_name: str, files: FileTree) -> list[Character]:
    """Characters in sorted order; names are sorted, so drawings come in order as well."""
    characters: dict[tuple[str, str], Character] = {}
    for name in files.names():
        parts = name.split("/")  # of a character's own folder, the third is empty
        if len(parts) != 3 or any(part.startswith(".") for part in parts):
            continue
        key = (parts[0], parts[1])
        entry = characters.setdefault(key, Character(set_name, "/".join(key), files))
        if parts[2].endswith(".png"):
            entry.drawings.append(name)
    if not characters:
        raise InputError(
            f"{set_name} has no <alphabet>/<character> folders: "
            f"it is not Omniglot's, fetch it again ({_WHERE_FROM})"
        )
    return [characters[key] for key in sorted(characters)]
