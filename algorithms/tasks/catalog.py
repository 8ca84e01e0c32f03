"""The data sets by name: prepare one once, then open it in well under a second.

A prepared set lies in the cache under ``<name>-<parameters>[-<source>].arrow``. ``parameters`` is
a hash of what determines the pixels (image size, number of glyphs, version of the reader); split,
rotations and augmentation are not in it, since they are applied on opening. ``source`` is a hash of
the content of the raw data, so that two Omniglots never pass for one another. Without raw
data at hand, whichever Omniglot is prepared is used, provided there is one and not several.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import cache_root, user_path
from metaray.algorithms.tasks.collection import as_dataset
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.dataset import (
    ClassLists,
    GeneratedTasks,
    ImageDataset,
    LazyClass,
    RecordedClasses,
)
from metaray.algorithms.tasks.duplicates import repeats_sentence, without_duplicates
from metaray.algorithms.tasks.fashion_mnist import FashionMnistByPart
from metaray.algorithms.tasks.folder import FolderByPart
from metaray.algorithms.tasks.npz import ArraysByPart
from metaray.algorithms.tasks.parts import (
    PARTS_FROM,
    Mapper,
    Progress,
    decoded_in_parts,
    remove_parts,
)
from metaray.algorithms.tasks.raw_identity import content_identity, found_once
from metaray.algorithms.tasks.registry import DATA_SETS
from metaray.algorithms.tasks.splits import Splits, check_disjoint, check_leaks
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.store_writer import write_store

if TYPE_CHECKING:
    from metaray.algorithms.tasks.source import EpisodeSource

DATASETS: dict[str, ImageDataset | GeneratedTasks] = {
    name: DATA_SETS.target(name)() for name in DATA_SETS.builtin
}
"""our own"""
BY_PART: dict[str, FolderByPart | ArraysByPart | FashionMnistByPart] = {
    "folder": FolderByPart(),
    "arrays": ArraysByPart(),
    "fashion_mnist": FashionMnistByPart(),
}
"""sets whose raw data has parts, in the form that keeps them apart"""

_OF_ALL = {"name", "cache"}


def _silent(done: int, total: int) -> None:
    """Progress that is not shown."""


def dataset_of(name: str) -> ImageDataset | GeneratedTasks:
    """The data set ``name``: ours, or that of a plug-in.

    Raises:
        InputError: there is none.
    """
    return DATASETS.get(name) or as_dataset(name, DATA_SETS.implementation(name))


def build_source(
    data: DataConfig, progress: Progress = _silent, mapper: Mapper = map
) -> EpisodeSource:
    """The episodes of ``data``, prepared first if need be.

    Args:
        data: the settings.
        progress: called with the progress of the preparation.
        mapper: decodes the parts of a large set, see ``parts``.

    Raises:
        InputError: settings cannot take effect, raw data or the prepared file is missing or
            damaged, or splits leak.
    """
    check_settings(data)
    dataset = dataset_of(data.name)
    if isinstance(dataset, GeneratedTasks):
        return dataset.build(data)
    # The episodes need torch, which takes seconds to import; listing and preparing do not.
    from metaray.algorithms.tasks.image_episodes import ImageEpisodes
    from metaray.algorithms.tasks.vector_episodes import VectorEpisodes

    store = open_store(dataset, data, progress, mapper)
    if dataset.holds == "vectors":
        return VectorEpisodes(store, splits_of(store, data), centre=data.centre)
    return ImageEpisodes(
        store, splits_of(store, data), data.rotations, augment=data.augment, channels=data.channels
    )


def open_store(
    dataset: ImageDataset, data: DataConfig, progress: Progress = _silent, mapper: Mapper = map
) -> ImageStore:
    """The images of ``dataset``, prepared first if need be; how they are split is left open.

    Arguments and InputError as of build_source.
    """
    prepared = _prepared_path(dataset, data)
    store = ImageStore.open(prepared or _write(dataset, data, progress, mapper))
    if prepared is not None:
        found_once({"": prepared}, _notes(data), store.verify)
    return store


def prepare(data: DataConfig, progress: Progress = _silent, mapper: Mapper = map) -> Path:
    """Write the prepared file of ``data``, or verify the one that is there; return its path.

    Several processes may prepare one set at once: each writes its own file, the last one stays,
    and all are alike. Arguments and InputError as of build_source; also when the file is damaged.
    """
    check_settings(data)
    dataset = dataset_of(data.name)
    if isinstance(dataset, GeneratedTasks):
        raise InputError(f"{data.name} is computed as it is used: there is nothing to prepare")
    path = _prepared_path(dataset, data)
    store = ImageStore.open(path or _write(dataset, data, progress, mapper))
    if path is not None:
        store.verify()
    splits_of(store, data)
    return store.path


def copies_note(data: DataConfig, store: ImageStore) -> str:
    """What should be known of images that occur more than once; empty where nothing is to be done.

    Published sets are as they are.
    """
    return repeats_sentence(store) if "drop_duplicates" in dataset_of(data.name).settings else ""


def publishes_parts(data: DataConfig) -> bool:
    """Whether the raw data has a part for training and one for the test; images are not read."""
    dataset = BY_PART[data.name]
    return {"train", "test"} <= dataset.parts(_root(dataset, data))


def left_out(data: DataConfig) -> list[str]:
    """Which files of the raw data are not read, and why: a sentence for each reason."""
    dataset = dataset_of(data.name)
    if not isinstance(dataset, ImageDataset):
        return []
    return dataset.left_out(_root(dataset, data), data)


def check_settings(data: DataConfig) -> None:
    """Raise InputError for a setting that would have no effect: none is ignored silently."""
    dataset = dataset_of(data.name)
    used = _OF_ALL | set(dataset.settings)
    if isinstance(dataset, ImageDataset):
        used |= {"split", "image_size"} if dataset.holds == "images" else {"split"}
    unset = type(data).model_validate({"name": data.name})
    for key in DataConfig.model_fields:
        if key not in used and getattr(data, key) != getattr(unset, key):
            raise InputError(f"data.{key} has no effect on {data.name}: leave it out")
    if dataset.splits and data.split not in dataset.splits:
        known = ", ".join(dataset.splits)
        raise InputError(f"{data.name} has no {data.split} split: set data.split to one of {known}")
    for key, split in (
        ("split_seed", ("random", "designer")), ("split_ratio", ("random", "designer")),
        ("split_lists", ("lists",)), ("test_designers", ("designer",)),
    ):  # fmt: skip
        if data.split not in split and getattr(data, key) != type(data).model_fields[key].default:
            raise InputError(f"data.{key} has no effect on the {data.split} split: leave it out")


def splits_of(store: ImageStore, data: DataConfig) -> Splits:
    """The split of a prepared set that ``data`` asks for, checked for leaks.

    InputError when the rule does not fit the classes or leaves a part empty, and for a leak.
    """
    dataset = dataset_of(data.name)
    assert isinstance(dataset, ImageDataset)  # others have no store
    header = store.header
    splits = dataset.split(ClassLists(header.class_names, header.class_groups), data)
    check = check_disjoint if dataset.published_images else check_leaks
    check(store, splits)
    return splits


def cache_folder(data: DataConfig) -> Path:
    """Where prepared sets are kept: data.cache, $METARAY_CACHE or ~/.cache/metaray."""
    return user_path(data.cache) if data.cache else cache_root()


def _path(dataset: ImageDataset, data: DataConfig, source: str | None = None) -> Path:
    parameters = json.dumps(dataset.parameters(data), sort_keys=True)
    parts = [dataset.prepared_as, _short_hash(parameters)]
    parts += [] if source is None else [_short_hash(source)]
    return cache_folder(data) / ("-".join(parts) + ".arrow")


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _prepared_path(dataset: ImageDataset, data: DataConfig) -> Path | None:
    """The prepared file that serves ``data``, if there is one."""
    given = dataset.prepared_at(_root(dataset, data))
    if given is not None:
        return given
    source = _source(dataset, data)
    if source is not None or not dataset.needs:
        path = _path(dataset, data, source)
        return path if path.exists() else None
    if dataset.is_users_own and data.root:
        return None
    prepared = sorted(cache_folder(data).glob(f"{_path(dataset, data).stem}-*.arrow"))
    if len({ImageStore.open(path).header.sha256 for path in prepared}) > 1:
        raise InputError(
            f"{len(prepared)} different {data.name} sets are prepared in {cache_folder(data)}: "
            "set data.root to say which one is meant, or delete the others"
        )
    return prepared[0] if prepared else None


def _root(dataset: ImageDataset, data: DataConfig) -> Path:
    """Where raw data is looked for; without data.root, where a package or a download puts it."""
    if data.root:
        return user_path(data.root)
    for folder in dataset.installed_at:
        if Path(folder).is_dir():
            return Path(folder)
    return cache_folder(data) / f"{dataset.prepared_as}-raw"


def _write(dataset: ImageDataset, data: DataConfig, progress: Progress, mapper: Mapper) -> Path:
    try:
        return _decode(dataset, data, progress, mapper)
    except InputError:
        # another process may have prepared the same set, and cleared away what was read here
        done = _prepared_path(dataset, data)
        if done is None:
            raise
        return done


def _decode(dataset: ImageDataset, data: DataConfig, progress: Progress, mapper: Mapper) -> Path:
    root = _root(dataset, data)
    if dataset.needs and not data.root and not data.download and not root.exists():
        raise InputError(
            f"no {data.name} of these settings is prepared in {cache_folder(data)}, and data.root "
            f"is not set: {dataset.needs}"
        )
    scratch = cache_folder(data) / f".{_path(dataset, data, _source(dataset, data)).stem}.parts"
    with dataset.open_classes(root, data, scratch) as classes:
        path = _path(dataset, data, _source(dataset, data))  # now that the data is there
        record = classes.record if isinstance(classes, RecordedClasses) else None
        if sum(item.num_images for item in classes) >= PARTS_FROM:
            loaded = decoded_in_parts(classes, scratch, mapper, progress)
        else:
            loaded = _loaded(classes, progress)
        if data.drop_duplicates:
            loaded = without_duplicates(loaded)
        parameters = dataset.parameters(data)
        name = dataset.prepared_as
        write_store(path, loaded, name=name, parameters=parameters, made_of=record)
    remove_parts(scratch)
    return path


def _source(dataset: ImageDataset, data: DataConfig) -> str | None:
    """The identity of the raw data; None where there is none."""
    files = dataset.raw_files(_root(dataset, data), data) if dataset.needs else None
    return None if files is None else content_identity(files, _notes(data))


def _notes(data: DataConfig) -> Path:
    return cache_folder(data) / ".identities"


def _loaded(classes: Sequence[LazyClass], progress: Progress) -> Iterator[ImageClass]:
    for done, item in enumerate(classes, start=1):
        yield item.load()
        progress(done, len(classes))
