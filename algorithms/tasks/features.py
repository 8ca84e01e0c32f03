"""Vectors with a class each: the features of a frozen encoder, of text or of sound, or a table.

``data.root`` is one of

* a folder that ``metaray embed`` wrote, which is used as it is;
* an ``.npz`` with ``x``, numbers ``[n, D]``, and ``y``, integers or text ``[n]``;
* a Parquet file, or a folder of them in the order of their names. The column ``data.label_column``
  has the classes. The vector is the one column of lists, or else all other columns, which hold
  numbers.

Vectors are kept in float32. The split ``source`` is that of the images that ``metaray embed`` read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass, Vectors
from metaray.algorithms.tasks.dataset import ClassLists, ImageDataset, LazyClass, missing
from metaray.algorithms.tasks.embedding_record import EmbeddingRecord, features_file
from metaray.algorithms.tasks.limits import ReadLimits
from metaray.algorithms.tasks.npz_file import read_arrays
from metaray.algorithms.tasks.parquet_vectors import read_vectors
from metaray.algorithms.tasks.split_lists import split_by_lists
from metaray.algorithms.tasks.splits import Splits, by_label, random_split

VERSION = 1
"""changes whenever the vectors do, so that a cached set is never taken for a newer one"""

_NEEDS = (
    "point data.root at a folder that metaray embed wrote, at an .npz with x (numbers [n, D]) and "
    "y (classes [n]), or at a Parquet file with a column of classes"
)


@dataclass(frozen=True)
class VectorClass:
    """One class of vectors ``[n, D]``."""

    name: str
    vectors: Vectors

    @property
    def num_images(self) -> int:
        """None needs decoding."""
        return 0

    def load(self) -> ImageClass:
        """All vectors of the class, which has no group."""
        return ImageClass(self.name, "", self.vectors)


class Features(ImageDataset):
    """See the module."""

    name = "features"
    description = "vectors: what metaray embed wrote, or your own in .npz or Parquet files"
    holds = "vectors"
    splits = ("random", "source", "lists")
    settings = ("root", "centre", "label_column", "split_seed", "split_ratio", "split_lists")
    needs = _NEEDS
    prepared_as = "features"
    is_users_own = True
    # Features of published images may be shared by two classes, as the images are; rows of a table
    # that has few values often are.
    published_images = True

    @override
    def prepared_at(self, root: Path) -> Path | None:
        file = features_file(root)
        return file if file.is_file() else None

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        return {"version": VERSION, "label_column": data.label_column}

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        return {file.name: file for file in _files(root)} or None

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        """A class for each label, in the order of labels."""
        files = _files(root)
        if not files:
            raise missing("vectors", root, _NEEDS)
        limits = ReadLimits.from_environment()
        if files[0].suffix == ".npz":
            x, y = _of_npz(files[0], limits)
        else:
            x, y = read_vectors(files, data.label_column, limits)
        yield _by_label(_finite(x, root), y)

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        if data.split == "random":
            return random_split(classes.names, data.split_seed, data.split_ratio)
        if data.split == "lists":
            return split_by_lists(classes.names, data.split_lists)
        record = EmbeddingRecord.read(Path(data.root or ""))
        split_of = {name: split for split, names in record.splits.items() for name in names}
        return by_label(split_of.get(name) for name in classes.names)


def _files(root: Path) -> list[Path]:
    if root.is_dir():
        return sorted(root.glob("*.parquet"))
    return [root] if root.is_file() and root.suffix in (".npz", ".parquet") else []


def _of_npz(path: Path, limits: ReadLimits) -> tuple[NDArray[Any], NDArray[Any]]:
    problem = f"cannot read vectors and their classes in {path}"
    x, y = read_arrays(path, ("x", "y"), limits, problem, _NEEDS)
    if x.ndim != 2 or x.dtype.kind not in "iufb" or 0 in x.shape:
        hint = "; images are data.name = arrays" if x.ndim > 2 else ""
        raise InputError(
            f"{path} has x of {x.dtype} {list(x.shape)}, and vectors are numbers [n, D]{hint}: "
            f"{_NEEDS}"
        )
    if y.dtype.kind not in "iuU" or y.shape != x.shape[:1]:
        raise InputError(
            f"{path} has y of {y.dtype} {list(y.shape)} for {len(x)} vectors, and classes are "
            f"integers or text [n]: {_NEEDS}"
        )
    return x, y


def _finite(x: NDArray[Any], root: Path) -> Vectors:
    with np.errstate(over="ignore"):
        vectors: Vectors = np.ascontiguousarray(x, np.float32)
    wrong = np.argwhere(~np.isfinite(vectors))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f"{root} has {x[row, column]} in row {row}, column {column} of its vectors, and "
            f"{len(wrong):,} numbers in all that are not finite in float32: replace or remove them"
        )
    return vectors


def _by_label(x: Vectors, y: NDArray[Any]) -> list[LazyClass]:
    labels, numbers = np.unique(y, return_inverse=True)
    return [VectorClass(str(label), x[numbers == i]) for i, label in enumerate(labels)]
