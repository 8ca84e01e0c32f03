"""The data sets by name: prepare one once, then open it in well under a second.

A prepared set lies in the cache under ``<name>-<parameters>[-<source>].arrow``. ``parameters`` is
a hash of what the builder was told (image size, number of glyphs, version of the builder); split
and rotations are not in it, since they are applied on opening. ``source`` is a hash of what
identifies the raw data on disk, so that two Omniglots never pass for one another. Without raw data
at hand, whichever Omniglot is prepared is used, provided there is one and not several.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks import glyphs, omniglot
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.splits import Splits, check_leaks, split_classes
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.store_writer import write_store

if TYPE_CHECKING:
    from metaray.algorithms.tasks.image_episodes import ImageEpisodes
    from metaray.algorithms.tasks.sinusoid import SinusoidEpisodes

Progress = Callable[[int, int], None]
"""called with the number of classes done and the number of all classes"""


class DatasetInfo(NamedTuple):
    """One line of ``metaray data list``."""

    description: str
    splits: tuple[str, ...]
    needs_root: bool
    """raw data must be on disk (or be downloaded) before the set can be prepared"""
    unused: tuple[str, ...]
    """settings of DataConfig that mean nothing for this set"""


DATASETS: dict[str, DatasetInfo] = {
    "glyphs": DatasetInfo(
        "stroke characters drawn by a procedure, 20 drawings each, in scripts of 25",
        ("alphabet", "random"),
        False,
        ("root", "download"),
    ),
    "omniglot": DatasetInfo(
        "1623 handwritten characters of 50 alphabets, 20 drawings each (Lake et al. 2015)",
        ("alphabet", "vinyals", "random"),
        True,
        ("num_classes",),
    ),
    "sinusoid": DatasetInfo(
        "regression of y = A sin(x - phase) from a few points (Finn et al. 2017)",
        (),
        False,
        ("root", "split", "split_seed", "rotations", "image_size", "num_classes", "download"),
    ),
}


def build_source(
    data: DataConfig, progress: Progress | None = None
) -> ImageEpisodes | SinusoidEpisodes:
    """The episodes of ``data``, prepared first if need be.

    InputError when settings cannot take effect, raw data is missing or damaged, or splits leak.
    """
    # The episodes need torch, which takes seconds to import; listing and preparing do not.
    from metaray.algorithms.tasks.image_episodes import ImageEpisodes
    from metaray.algorithms.tasks.sinusoid import SinusoidEpisodes

    check_settings(data)
    if data.name == "sinusoid":
        return SinusoidEpisodes()
    store = ImageStore.open(_prepared_path(data) or _write(data, progress))
    return ImageEpisodes(store, _checked_splits(store, data), data.rotations)


def prepare(data: DataConfig, progress: Progress | None = None) -> Path:
    """Write the prepared file of ``data``, or verify the one that is there; return its path.

    Several processes may prepare one set at once: each writes its own file, the last one stays,
    and all are alike. InputError as of build_source, and when the file is damaged.
    """
    check_settings(data)
    if data.name == "sinusoid":
        raise InputError("sinusoid is computed as it is used: there is nothing to prepare")
    path = _prepared_path(data)
    store = ImageStore.open(path or _write(data, progress))
    if path is not None:
        store.verify()
    _checked_splits(store, data)
    return store.path


def check_settings(data: DataConfig) -> None:
    """Raise InputError for a setting that would have no effect: none is ignored in silence."""
    info = DATASETS[data.name]
    for key in info.unused:
        if getattr(data, key) != DataConfig.model_fields[key].default:
            raise InputError(f"data.{key} has no effect on {data.name}: leave it out")
    if info.splits and data.split not in info.splits:
        known = ", ".join(info.splits)
        raise InputError(f"{data.name} has no {data.split} split: set data.split to one of {known}")
    if data.split != "random" and data.split_seed != 0:
        raise InputError(f"data.split_seed has no effect on the {data.split} split: leave it out")


def cache_folder(data: DataConfig) -> Path:
    """Where prepared sets are kept: data.cache, $METARAY_CACHE or ~/.cache/metaray."""
    chosen = data.cache or os.environ.get("METARAY_CACHE") or "~/.cache/metaray"
    return Path(chosen).expanduser()


def _checked_splits(store: ImageStore, data: DataConfig) -> Splits:
    splits = split_classes(store, data.split, data.split_seed)
    check_leaks(store, splits)
    return splits


def _parameters(data: DataConfig) -> dict[str, str | int]:
    if data.name == "glyphs":
        return {
            "version": glyphs.VERSION,
            "image_size": data.image_size,
            "num_classes": data.num_classes,
        }
    return {"version": omniglot.VERSION, "image_size": data.image_size, "filter": "lanczos"}


def _path(data: DataConfig, source: str | None = None) -> Path:
    parts = [data.name, _short_hash(json.dumps(_parameters(data), sort_keys=True))]
    parts += [] if source is None else [_short_hash(source)]
    return cache_folder(data) / ("-".join(parts) + ".arrow")


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _prepared_path(data: DataConfig) -> Path | None:
    """The prepared file that serves ``data``, if there is one."""
    if data.name == "glyphs":
        path = _path(data)
        return path if path.exists() else None
    root = _root(data)
    if omniglot.is_whole(root):
        path = _path(data, omniglot.identity(root))
        return path if path.exists() else None
    prepared = sorted(cache_folder(data).glob(f"{_path(data).stem}-*.arrow"))
    if len(prepared) > 1:
        raise InputError(
            f"{len(prepared)} different Omniglots are prepared in {cache_folder(data)}: "
            "set data.root to say which one is meant, or delete the others"
        )
    return prepared[0] if prepared else None


def _root(data: DataConfig) -> Path:
    """Where Omniglot is looked for; without data.root, where it is downloaded to."""
    return Path(data.root).expanduser() if data.root else cache_folder(data) / "omniglot-raw"


def _write(data: DataConfig, progress: Progress | None) -> Path:
    if data.name == "glyphs":
        drawn = glyphs.glyph_classes(data.num_classes, data.image_size)
        return _write_classes(data, _path(data), _counted(drawn, data.num_classes, progress))
    root = _root(data)
    if data.download and not omniglot.is_whole(root):
        omniglot.download(root)
    with omniglot.open_characters(root) as characters:
        path = _path(data, omniglot.identity(root))
        loaded = (character.load(data.image_size) for character in characters)
        return _write_classes(data, path, _counted(loaded, len(characters), progress))


def _write_classes(data: DataConfig, path: Path, classes: Iterable[ImageClass]) -> Path:
    write_store(path, classes, name=data.name, parameters=_parameters(data))
    return path


def _counted(
    classes: Iterable[ImageClass], total: int, progress: Progress | None
) -> Iterator[ImageClass]:
    for done, item in enumerate(classes, start=1):
        yield item
        if progress is not None:
            progress(done, total)
