"""Arrays in an ``.npz`` file, whose sizes are checked before memory is taken for them.

``numpy.load`` believes the shape that the header of an array claims.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from metaray.algorithms.reading import refusing_damage
from metaray.algorithms.tasks.limits import ReadLimits

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_arrays(
    path: Path, names: Sequence[str], limits: ReadLimits, problem: str, remedy: str
) -> list[NDArray[Any]]:
    """The arrays of these names, without executing what a pickle in them might say.

    Raises:
        InputError: the file is no ``.npz``, is damaged, lacks one of the arrays, or one is too
            large. The sentence begins with ``problem`` and ends with ``remedy``.
    """
    with refusing_damage(problem, remedy), zipfile.ZipFile(path) as archive:
        return [_read(archive, name, path, limits) for name in names]


def _read(archive: zipfile.ZipFile, name: str, path: Path, limits: ReadLimits) -> NDArray[Any]:
    members = {member.filename: member for member in archive.infolist()}
    if f"{name}.npy" not in members:
        raise KeyError(name)
    member = members[f"{name}.npy"]
    limits.check_unpacked(member.file_size, f"{name} in {path}")
    with archive.open(member) as file:
        _check_header(file, name, member.file_size)
    with archive.open(member) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # reads to the end, where the checksum of the zip is compared
            raise ValueError(f"{name} has bytes after its end")
    return array


def _check_header(file: IO[bytes], name: str, size: int) -> None:
    """Raise ValueError where the header of an array does not fit the ``size`` of its file."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} is of version {version} of the format, or no array")
    shape, _, dtype = _HEADERS[version](file)
    claimed = prod(shape) * dtype.itemsize
    if not dtype.hasobject and claimed != size - file.tell():
        raise ValueError(f"{name} claims {claimed:,} bytes and has {size - file.tell():,}")
