"""Which files below a folder are images of which class, and which are left out and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import check_name
from metaray.algorithms.tasks.image_files import SUFFIXES

_PARTS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NO_LETTERS = re.compile(r"[^a-z]|(set|data|images)$")
# images that Pillow does not decode
_UNREAD = (
    ".heic", ".heif", ".avif", ".jxl", ".raw", ".cr2", ".nef", ".arw", ".dng", ".svg", ".psd",
)  # fmt: skip
# what systems and tools leave in folders
_NOT_OURS = (
    "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "Thumbs.db", "desktop.ini",
)  # fmt: skip
_SHOWN = 3

HIDDEN = "hidden, or of the system"
NO_IMAGE = "no image"
UNREAD = "an image of a format that cannot be read: convert it to JPEG or PNG"
STRAY = "an image beside class folders"


@dataclass(frozen=True)
class Layout:
    """The files of a folder."""

    classes: dict[str, list[str]] = field(default_factory=dict)
    """paths of the images of each class"""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """paths of the other files, by reason"""

    def sentences(self) -> list[str]:
        """What was left out, a line for each reason."""
        return [
            f"left out, {reason}: {len(names):,} {'file' if len(names) == 1 else 'files'} "
            f"({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
            for reason, names in self.left_out.items()
        ]


def part_of(folder: str) -> Split | None:
    """The part that a folder's name says: ``Training`` and ``train_set`` are ``train``.

    >>> part_of("Training"), part_of("test-set"), part_of("validation_data"), part_of("cat")
    ('train', 'test', 'val', None)
    """
    name = folder.lower()
    while (shorter := _NO_LETTERS.sub("", name)) != name:
        name = shorter
    return _PARTS.get(name)


def read_layout(names: Iterable[str], by_part: bool = False) -> Layout:
    """What the files ``names``, paths below the root, are.

    A class is a folder that holds images, and its name is its path. Two things on the way down say
    nothing of the class and are left out of its name: a single folder around everything, and a
    first folder that is a part such as ``train``, unless ``by_part``. Images that lie beside
    folders of images, and are fewer than these, are no class: covers, samples.

    Raises:
        InputError: a folder would be a class if its images could be read, or its name is not UTF-8.
    """
    images, left_out, unread = [], dict[str, list[str]](), list[str]()
    for name in sorted(names):
        reason = why_left_out(name)
        if reason is None:
            images.append(name)
        else:
            left_out.setdefault(reason, []).append(name)
        if reason == UNREAD:
            unread.append(name)
    strays = _strays(images)
    images = [name for name in images if _folder(name) not in strays]
    _check_none_vanished(images, unread)
    for folder in strays:
        left_out.setdefault(STRAY, []).extend(strays[folder])
    classes = _by_class(images, by_part)
    for name in classes:
        check_name(name)
    return Layout(classes, left_out)


def why_left_out(name: str) -> str | None:
    """Why a file is no image of a class; None if it is one."""
    if any(part.startswith(".") or part in _NOT_OURS for part in name.split("/")):
        return HIDDEN
    if name.lower().endswith(_UNREAD):
        return UNREAD
    return None if name.lower().endswith(SUFFIXES) else NO_IMAGE


def _strays(images: list[str]) -> dict[str, list[str]]:
    """Images that lie beside folders of images and are fewer, by folder; all that lie in none."""
    direct: dict[str, list[str]] = {}
    for name in images:
        direct.setdefault(_folder(name), []).append(name)
    inner = Counter(_folder(folder) for folder in _with_parents(direct) if folder)
    return {
        folder: found
        for folder, found in direct.items()
        if not folder or len(found) < inner.get(folder, 0)
    }


def _with_parents(folders: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for folder in folders:
        while folder and folder not in found:
            found.add(folder)
            folder = _folder(folder)
    return found


def _check_none_vanished(images: list[str], unread: list[str]) -> None:
    classes = {_folder(name) for name in images}
    for name in unread:
        folder = _folder(name)
        if folder and folder not in classes:
            count = sum(_folder(other) == folder for other in unread)
            raise InputError(
                f"class {folder} has no image that can be read, and {count} of other formats such "
                f"as {name.rpartition('/')[2]}: convert them to JPEG or PNG, or remove the folder"
            )


def _by_class(images: list[str], by_part: bool) -> dict[str, list[str]]:
    tops = {name.split("/")[0] for name in images}
    around = len(tops) == 1 and all(name.count("/") > 1 for name in images)
    classes: dict[str, list[str]] = {}
    for name in images:
        folders = name.split("/")[:-1][1 if around else 0 :]
        part = part_of(folders[0]) if len(folders) > 1 else None
        if part is not None:
            folders = [part, *folders[1:]] if by_part else folders[1:]
        classes.setdefault("/".join(folders), []).append(name)
    return classes


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
