"""Writing a prepared data set: class by class, and so that no reader ever sees half of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from metaray.algorithms.atomic import atomic_path, temporary_path
from metaray.algorithms.errors import InputError, write_error
from metaray.algorithms.tasks.content import ContentHash, Examples, ImageClass
from metaray.algorithms.tasks.data_sources import SourcesRecord
from metaray.algorithms.tasks.store import METADATA_KEY, StoreHeader


def write_store(
    path: str | os.PathLike[str],
    classes: Iterable[ImageClass],
    *,
    name: str,
    parameters: dict[str, str | int],
    made_of: SourcesRecord | None = None,
) -> None:
    """Write ``classes`` as they come, one at a time in memory; ``path`` appears whole or not.

    All images have one shape. InputError when there is nothing to write or nowhere to write it.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Arrow puts the schema first, but the hash is known last so there are a draft and a copy.
        with atomic_path(path) as final, temporary_path(path) as draft:
            found, schema = _write_draft(draft, classes, name, parameters)
            header = found.model_copy(update={"made_of": made_of})
            metadata = {METADATA_KEY: header.model_dump_json().encode()}
            with pa.memory_map(str(draft), "r") as source:
                reader = pa.ipc.open_file(source)
                with pa.ipc.new_file(str(final), schema.with_metadata(metadata)) as writer:
                    for c in range(reader.num_record_batches):
                        writer.write_batch(reader.get_batch(c))
    except OSError as error:
        remedy = "free some space, or choose another folder with data.cache or METARAY_CACHE"
        raise write_error(f"the prepared data set {path}", error, remedy) from error


def _write_draft(
    draft: Path, classes: Iterable[ImageClass], name: str, parameters: dict[str, str | int]
) -> tuple[StoreHeader, Any]:
    remaining = iter(classes)
    first = next(remaining, None)
    if first is None:
        raise InputError(f"data set {name} has no classes: there is nothing to prepare")
    shape = first.images.shape[1:]
    width = int(np.prod(shape)) * first.images.itemsize
    content = ContentHash(shape)
    schema = pa.schema([("image", pa.binary(width)), ("class_id", pa.int32())])
    with pa.ipc.new_file(str(draft), schema) as writer:
        for class_id, item in enumerate(_chain(first, remaining)):
            content.add(item)
            writer.write_batch(_record_batch(item.images, class_id, schema))
    header = StoreHeader(
        name=name,
        image_shape=shape,
        dtype=first.images.dtype.name,
        class_names=tuple(content.names),
        class_groups=tuple(content.groups),
        parameters=parameters,
        shared_images=content.shared_images,
        sha256=content.sha256,
    )
    return header, schema


def _chain(first: ImageClass, rest: Iterator[ImageClass]) -> Iterator[ImageClass]:
    yield first
    yield from rest


def _record_batch(images: Examples, class_id: int, schema: Any) -> Any:
    n = len(images)
    data = pa.py_buffer(np.ascontiguousarray(images).tobytes())
    # from buffers: pa.array imports pandas, which takes most of a second
    column = pa.Array.from_buffers(schema.field("image").type, n, [None, data])
    numbers = pa.py_buffer(np.full(n, class_id, dtype=np.int32))
    ids = pa.Array.from_buffers(schema.field("class_id").type, n, [None, numbers])
    return pa.record_batch([column, ids], schema=schema)
