"""A data set of images as a data set of features, by one pass of a frozen encoder over it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metaray.algorithms.atomic import write_json
from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError, write_error
from metaray.algorithms.reading import read_object
from metaray.algorithms.tasks.catalog import build_source
from metaray.algorithms.tasks.channels import converted
from metaray.algorithms.tasks.embedding_record import (
    EmbeddingRecord,
    encoder_file,
    features_file,
)
from metaray.algorithms.tasks.image_episodes import ImageEpisodes, unit_range
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.algorithms.tasks.registry import DATA_SETS
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.store_writer import write_store
from metaray.platform.callbacks.preparing import preparing, showing
from metaray.platform.common.versions import versions
from metaray.platform.config.loading import validate_section
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.distributed.parallel_map import decoder, default_workers, parallel_map
from metaray.platform.inference.embedding_parts import (
    EmbeddingPart,
    FrozenNetwork,
    embed_part,
    embedded_classes,
    parts_of,
    read_part,
    save_network,
)
from metaray.platform.inference.encoders import encoder_source
from metaray.platform.training.device import choose_device
from metaray.platform.training.pretrained import statistics_batches

_RAY_FROM = 2_000
"""with fewer images, Ray is not started: its start takes some five seconds"""
_WITHOUT_EFFECT = {"rotations": "none", "augment": False}


class Embedding(NamedTuple):
    """What is in the folder."""

    folder: Path
    vectors: int
    size: int
    """numbers in a vector"""
    classes: int
    sha256: str
    """content hash of the vectors"""
    computed: int
    """images that this call embedded; the others were there"""


def embed(
    encoder: str,
    data: Mapping[str, Any],
    out: Path,
    *,
    weights: str | None = None,
    workers: int | None = 0,
    device: str = "auto",
) -> Embedding:
    """Write the features of all images of ``data`` into the folder ``out``.

    Args:
        encoder: a run, ``torchvision:ARCH`` or ``timm:ARCH``.
        data: settings of the data set; size and channels are those of the encoder unless given.
        out: a new folder, or one in which the same embedding was begun.
        weights: of a network of torchvision or timm.
        workers: processes; 0: this one; None: one a core, or this one where there is a GPU.
        device: that computes, as ``workers.device`` of a run.

    Raises:
        InputError: encoder or data are missing or do not fit, or ``out`` holds something else.
    """
    if workers is None:
        on_gpu = device != "cpu" and torch.cuda.is_available()
        workers = 0 if on_gpu else default_workers()
    found = encoder_source(encoder, weights)
    config = validate_section(DATA_SETS, {**found.images, **data})
    source = _opened(config, workers)
    network = found.read(source.input_shape, _batches(source))
    compute = ComputeConfig(count=workers, device=device)
    record = EmbeddingRecord(
        encoder=network.as_json() | {"device": choose_device(compute).type},
        preprocessing=_preprocessing(source),
        source=_source(config, source),
        splits={split: _names(source, ids) for split, ids in source.splits.items()},
        versions=versions(),
        pictures=_pictures(config, source),
    )
    folder = out / ".parts"
    _check_same(out, folder, record)
    is_done, keeps_encoder = features_file(out).is_file(), encoder_file(out).is_file()
    try:
        if not is_done:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "begun.json", _identity(record))
        if not keeps_encoder:
            save_network(network.state, encoder_file(out))
            if is_done:  # by an older version, whose record says nothing of pictures either
                record.write(out)
    except OSError as error:
        raise write_error(f"the embedding {out}", error, "choose another folder") from error
    if is_done:
        return _result(out, 0)
    frozen = FrozenNetwork(
        build=network.build,
        channels=source.input_shape[0],
        file=encoder_file(out),
        sha256=network.weights_sha256,
        compute=compute,
    )
    parts = parts_of(source, folder, frozen)
    computed = _compute(parts, config.label, workers)
    record.write(out)
    classes = embedded_classes(parts, source.store)
    header = source.store.header  # whose works the vectors are of, too
    write_store(features_file(out), classes, name="features", parameters={}, made_of=header.made_of)
    shutil.rmtree(folder, ignore_errors=True)
    return _result(out, computed)


def _opened(config: DataConfig, workers: int) -> ImageEpisodes:
    for key, without in _WITHOUT_EFFECT.items():
        if getattr(config, key) != without:
            raise InputError(
                f"data.{key} has no effect on an embedding, which reads each image as it is: leave "
                "it out"
            )
    with preparing(config.name) as progress:
        source = build_source(config, progress, decoder(workers))
    if not isinstance(source, ImageEpisodes):
        raise InputError(f"{config.label} has no images to embed: set data.name to a set of them")
    return source


def _compute(parts: list[EmbeddingPart], name: str, workers: int) -> int:
    waiting = [part for part in parts if read_part(part) is None]
    total = sum(part.num_images for part in parts)
    to_do = sum(part.num_images for part in waiting)
    done = total - to_do
    with showing(f"embedding {name}", "images") as progress:
        for count in parallel_map(embed_part, waiting, workers, _RAY_FROM):
            done += count
            progress(done, total)
    return to_do


def _check_same(out: Path, folder: Path, record: EmbeddingRecord) -> None:
    """Raise InputError where ``out`` holds something else than this embedding or its beginning."""
    begun = folder / "begun.json"
    if features_file(out).is_file():
        before = _identity(EmbeddingRecord.read(out))
    elif begun.is_file():
        before = read_object(
            begun, f"{begun} is damaged", "delete the folder and run the command again"
        )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty and holds no embedding: choose another --out")
    else:
        return
    now = _identity(record)
    changed = [key for key in now if before.get(key) != now[key]]
    if changed:
        raise InputError(
            f"{out} holds an embedding with another {' and '.join(changed)}: choose another --out"
        )


def _identity(record: EmbeddingRecord) -> dict[str, Any]:
    """What decides the vectors and the splits, as JSON has it."""
    values: dict[str, Any] = record.model_dump(mode="json")
    return {
        "encoder": values["encoder"],
        "preprocessing": values["preprocessing"],
        "images": values["source"]["content_sha256"],
        "split": values["splits"],
    }


def _result(out: Path, computed: int) -> Embedding:
    store = ImageStore.open(features_file(out))
    header = store.header
    return Embedding(
        folder=out,
        vectors=sum(len(store.images(c)) for c in range(len(store))),
        size=header.image_shape[0],
        classes=len(store),
        sha256=header.sha256,
        computed=computed,
    )


def _preprocessing(source: ImageEpisodes) -> dict[str, Any]:
    channels, height, width = source.input_shape
    header = source.store.header
    return {
        "channels": channels,
        "height": height,
        "width": width,
        "stored_channels": header.image_shape[0],
        "prepared": header.parameters,
    }


def _pictures(config: DataConfig, source: ImageEpisodes) -> dict[str, Any] | None:
    classes = source.splits["train"]
    found = Preprocessing.of(source.store, config.name, config.channels, classes)
    return None if found is None else found.as_json()


def _source(config: DataConfig, source: ImageEpisodes) -> dict[str, Any]:
    settings = config.model_dump(mode="json", exclude_defaults=True, exclude={"cache"})
    return settings | {"name": config.name, "content_sha256": source.content_sha256}


def _names(source: ImageEpisodes, classes: tuple[int, ...]) -> tuple[str, ...]:
    names = source.store.header.class_names
    return tuple(names[class_id] for class_id in classes)


def _batches(source: ImageEpisodes) -> Iterator[Tensor]:
    """Images of the training classes, to estimate statistics on that a run did not keep."""
    classes, images = source.splits["train"], source.store.images
    places = [(c, i) for c in classes for i in range(len(images(c)))]
    for rows in statistics_batches(len(places)):
        stored = np.stack([images(c)[i] for c, i in (places[row] for row in rows)])
        yield converted(unit_range(stored), source.input_shape[0])
