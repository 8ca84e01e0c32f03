"""Arrays of bytes in the IDX format of MNIST, compressed with gzip or not.

The head of a file is two zero bytes, the type of the numbers (8: unsigned bytes), the number of
dimensions, and the length of each as four bytes, the highest first.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np

from metaray.algorithms.reading import refusing_damage
from metaray.algorithms.tasks.content import Images
from metaray.algorithms.tasks.limits import ReadLimits

_UNSIGNED_BYTES = 8


def read_idx(path: Path, dimensions: int, remedy: str) -> Images:
    """The unsigned bytes in ``path``, an array of ``dimensions`` dimensions.

    Raises:
        InputError: the file is missing, damaged, or holds something else.
    """
    limits = ReadLimits.from_environment()
    with refusing_damage(f"{path} is damaged or not an IDX file of bytes", remedy):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            if head != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
                raise ValueError(f"its first bytes are {head.hex() or 'missing'}")
            shape = tuple(np.frombuffer(file.read(4 * dimensions), ">u4").tolist())
            size = math.prod(shape)
            limits.check_unpacked(size, f"the array in {path}")
            data = file.read(size + 1)
        if len(shape) != dimensions or len(data) != size or not size:
            raise ValueError(f"it holds {len(data):,} bytes for {' x '.join(map(str, shape))}")
    return np.frombuffer(data, np.uint8).reshape(shape)
