"""A prepared data set: one Arrow IPC file that every process maps into memory and none copies.

The file holds one record batch per class, in the order of class ids, with the columns ``image``
(fixed-size binary: C*H*W bytes, or the numbers of a vector) and ``class_id`` (int32). What the rows
mean (names, groups, image shape, builder parameters, content hash) is JSON in the schema's
metadata. Everything that needs a pass over the images is computed when the file is written, so that
opening it is cheap.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import refusing_damage
from metaray.algorithms.tasks.content import ContentHash, Examples, ImageClass
from metaray.algorithms.tasks.data_sources import SourcesRecord

FORMAT_VERSION = 1
_AGAIN = "delete it and prepare it again"
METADATA_KEY = b"metaray.store"


class StoreHeader(BaseModel):
    """What a store says about its rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    name: str
    image_shape: tuple[int, ...]
    """of one example: ``(C, H, W)``, or ``(D,)`` of a vector"""
    dtype: Literal["uint8", "float32"] = "uint8"
    class_names: tuple[str, ...]
    class_groups: tuple[str, ...]
    parameters: dict[str, str | int]
    shared_images: tuple[tuple[int, ...], ...]
    """sets of classes that hold one and the same image, byte for byte"""
    sha256: str
    """hash of names, groups and images or vectors, in order"""
    made_of: SourcesRecord | None = None
    """the works that the images were made of, where they are not the user's or published ones"""


class ImageStore:
    """Read-only view of a prepared data set. Pickling it sends the path and the content hash."""

    def __init__(self, path: Path, header: StoreHeader, views: list[Examples]) -> None:
        self.path = path
        self.header = header
        self._views = views

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ImageStore:
        """Map ``path`` into memory; InputError when it is not a whole, readable store."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"no prepared data set at {path}: prepare it first")
        problem = f"cannot use {path} as a prepared data set: not a whole Arrow file"
        with refusing_damage(problem, _AGAIN):
            reader = pa.ipc.open_file(pa.memory_map(str(path), "r"))
            header = _parse_header(path, reader.schema)
            views = [_class_view(reader, c, header) for c in range(reader.num_record_batches)]
        if len(views) != len(header.class_names):
            found = f"{len(views)} classes stored, {len(header.class_names)} named"
            raise _unusable(path, found)
        return cls(path, header, views)

    def __len__(self) -> int:
        return len(self._views)

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self.header.sha256)

    def images(self, class_id: int) -> Examples:
        """All images of a class, uint8 ``[n, C, H, W]``, or its vectors, float32 ``[n, D]``.

        It is a read-only view of the mapped file.
        """
        return self._views[class_id]

    def verify(self) -> str:
        """Hash the whole content again, and return the hash.

        Raises:
            InputError: it differs from the recorded one.
        """
        content = ContentHash(self.header.image_shape)
        names = zip(self.header.class_names, self.header.class_groups, self._views, strict=True)
        for name, group, images in names:
            content.add(ImageClass(name, group, images))
        if content.sha256 != self.header.sha256:
            raise _unusable(self.path, "its content does not match its recorded hash")
        return content.sha256


def _parse_header(path: Path, schema: Any) -> StoreHeader:
    text = (schema.metadata or {}).get(METADATA_KEY)
    if text is None:
        raise _unusable(path, "an Arrow file that metaray did not write")
    try:
        header = StoreHeader.model_validate_json(text)
    except ValidationError as error:
        raise _unusable(path, "its description cannot be read") from error
    if header.format_version != FORMAT_VERSION:
        found = f"format version {header.format_version}, this metaray reads {FORMAT_VERSION}"
        raise _unusable(path, found)
    return header


def _class_view(reader: Any, class_id: int, header: StoreHeader) -> Examples:
    batch = reader.get_batch(class_id)
    batch.validate()  # of sizes alone: reading beyond the end of a buffer would end the process
    images, ids = batch.columns
    if batch.num_rows == 0 or ids[0].as_py() != class_id:
        raise pa.ArrowInvalid(f"rows of class {class_id} are not where they should be")
    data = np.frombuffer(images.buffers()[1], dtype=header.dtype)
    if images.null_count or min(header.image_shape, default=0) < 1:
        raise pa.ArrowInvalid(f"class {class_id} has no images of {header.image_shape}")
    size = batch.num_rows * int(np.prod(header.image_shape))
    return data[:size].reshape(batch.num_rows, *header.image_shape)


def _unusable(path: Path, found: str) -> InputError:
    return InputError(f"cannot use {path} as a prepared data set: {found}: {_AGAIN}")


def _reopen(path: Path, sha256: str) -> ImageStore:
    store = ImageStore.open(path)
    if store.header.sha256 != sha256:
        raise _unusable(path, "its content is not that with which this run started")
    return store
