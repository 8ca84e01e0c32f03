"""How much memory one file of raw data may take. It is checked before the file is read.

A zip of 10 MB can hold 10 GB of zeros, and a small PNG a huge image. The limits are generous, and
environment variables move them:

``METARAY_MAX_FILE_MB``
    One image file, or one file in a zip or tar: 256.
``METARAY_MAX_MEGAPIXELS``
    One image, in millions of pixels: 64. Decoding takes up to 12 bytes for each pixel.
``METARAY_MAX_UNPACKED_MB``
    One array of an ``.npz``, one file of CIFAR-100's archive, or all of CUB's: 16384.

They are read where a data set is opened, and travel with its classes to other machines.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from metaray.algorithms.errors import InputError

_FILE, _PIXELS = "METARAY_MAX_FILE_MB", "METARAY_MAX_MEGAPIXELS"
_UNPACKED = "METARAY_MAX_UNPACKED_MB"
_MB = 2**20


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """Limits, in the units of the variables."""

    file_mb: float = 256
    megapixels: float = 64
    unpacked_mb: float = 16_384

    @classmethod
    def from_environment(cls) -> ReadLimits:
        """Those of the environment variables, or the defaults.

        Raises:
            InputError: a variable is not a positive number.
        """
        return cls(
            file_mb=_number(_FILE, cls.file_mb),
            megapixels=_number(_PIXELS, cls.megapixels),
            unpacked_mb=_number(_UNPACKED, cls.unpacked_mb),
        )

    def check_file(self, size: int, name: str) -> None:
        """Raise InputError where a file of ``size`` bytes is too large."""
        _check_size(size, self.file_mb, name, _FILE)

    def check_unpacked(self, size: int, name: str) -> None:
        """Raise InputError where an array or archive of ``size`` bytes is too large."""
        _check_size(size, self.unpacked_mb, name, _UNPACKED)

    def check_pixels(self, size: tuple[int, int], name: str) -> None:
        """Raise InputError where an image of this width and height has too many pixels."""
        width, height = size
        if width * height > self.megapixels * 1e6:
            raise InputError(
                f"{name} has {width:,} x {height:,} pixels, more than the {self.megapixels:,g} "
                f"million that an image may have: make it smaller, remove it, or set {_PIXELS} to "
                f"{-(-width * height // 10**6)}"
            )


def _check_size(size: int, limit_mb: float, name: str, variable: str) -> None:
    if size > limit_mb * _MB:
        raise InputError(
            f"{name} takes {-(-size // _MB):,} MB of memory, more than the {limit_mb:,g} MB that "
            f"it may: remove it if it is damaged, or set {variable} to {-(-size // _MB)}"
        )


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"{variable} = {text!r} is not a positive number: set it to {default:g}")
    return value
