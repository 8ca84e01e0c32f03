"""Omniglot (Lake et al. 2015): 1623 characters of 50 alphabets, 20 drawings each.

Reads the published layout, ``<set>/<alphabet>/<character>/<drawing>.png`` with the sets
``images_background`` and ``images_evaluation``, from the two zips or from extracted folders; where
both lie side by side the zip is read. Drawings are 105 x 105, black ink on white. They are resized
with Pillow's Lanczos filter, as the authors of MAML did, and inverted, so that ink is 255.

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
    vinyals_split,
)

VERSION = 1
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

SETS = ("images_background", "images_evaluation")
_TORCHVISION_FOLDER = "omniglot-py"
_WHERE_FROM = "https://github.com/brendenlake/omniglot (its folder python)"


class Omniglot(ImageDataset):
    """See the module."""

    name = "omniglot"
    description = "1623 handwritten characters of 50 alphabets, 20 drawings each (Lake et al. 2015)"
    splits = ("alphabet", "vinyals", "random")
    settings = ("root", "download", "rotations", "split_seed", "channels")
    needs = (
        f"put images_background.zip and images_evaluation.zip from {_WHERE_FROM} into a folder and "
        "point data.root at it, or set data.download = true"
    )
    prepared_as = "omniglot"
    inverted = True

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        return {"version": VERSION, "image_size": data.image_size, "filter": RESIZING}

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        if not is_whole(root):
            return None
        found: dict[str, Path] = {}
        for name, path in _find_sets(root).items():
            below = {"": path} if path.is_file() else files_below(path)
            found |= {f"{name}/{file}": place for file, place in below.items()}
        return found

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        if data.download and not is_whole(root):
            download(root)
        with open_characters(root) as characters:
            yield [_SizedCharacter(character, data.image_size) for character in characters]

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        if data.split == "random":
            return random_split(classes.names, data.split_seed, MAML_SHARES)
        if data.split == "vinyals":
            return vinyals_split(classes.names, classes.groups)
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
        group = f"{self.set_name.removeprefix('images_')}/{alphabet}"
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
def open_characters(root: Path) -> Iterator[list[Character]]:
    """The characters below ``root``: the background set first, each set sorted by name.

    InputError when ``root`` does not hold both sets; damage to a drawing shows on loading it.
    """
    with ExitStack() as stack:
        trees = {name: _open_tree(path) for name, path in _find_sets(root).items()}
        for tree in trees.values():
            stack.callback(tree.close)
        yield [character for name in SETS for character in _scan(name, trees[name])]


def download(root: Path) -> None:
    """Fetch both zips into ``root/omniglot-py`` through torchvision, which checks their hash."""
    from torchvision.datasets import Omniglot

    try:
        for background in (True, False):
            Omniglot(str(root), background=background, download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"Omniglot could not be downloaded ({error}): {_add(root)}") from error


def is_whole(root: Path) -> bool:
    """Whether ``root`` holds both sets, as they are published or as torchvision stores them."""
    return any(len(_sets_in(base)) == len(SETS) for base in _bases(root))


def _bases(root: Path) -> tuple[Path, Path]:
    return root, root / _TORCHVISION_FOLDER


def _sets_in(base: Path) -> dict[str, Path]:
    candidates = {name: (base / f"{name}.zip", base / name) for name in SETS}
    found = {name: [p for p in paths if p.exists()] for name, paths in candidates.items()}
    return {name: paths[0] for name, paths in found.items() if paths}


def _find_sets(root: Path) -> dict[str, Path]:
    if not root.is_dir():
        raise InputError(f"no folder {root} with Omniglot: {_add(root)}")
    found = max((_sets_in(base) for base in _bases(root)), key=len)
    if not found:
        others = ", ".join(sorted(p.name for p in root.iterdir())[:5]) or "nothing"
        raise InputError(f"{root} does not hold Omniglot (found: {others}): {_add(root)}")
    missing = [name for name in SETS if name not in found]
    if missing:
        raise InputError(f"{root} holds half of Omniglot, {missing[0]} is missing: {_add(root)}")
    return found


def _add(root: Path) -> str:
    return (
        f"put images_background.zip and images_evaluation.zip from {_WHERE_FROM} into {root}, "
        "or point data.root at them, or set data.download = true"
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
