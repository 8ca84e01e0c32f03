"""How much a client may ask for.

Environment variables move the limits: ``METARAY_SERVE_`` and the name of a field in capitals, such
as ``METARAY_SERVE_MAX_TASKS``. The size of one picture in pixels is that of all readers
(``METARAY_MAX_MEGAPIXELS``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

from typing_extensions import Self

from metaray.algorithms.errors import InputError

_PREFIX = "METARAY_SERVE_"


@dataclass(frozen=True, kw_only=True)
class ServeLimits:
    """All are whole numbers above 0."""

    max_request_mb: int = 32
    """size of a request"""
    max_pictures: int = 64
    """pictures of a request"""
    max_classes: int = 200
    """classes of a task"""
    max_support: int = 2000
    """support pictures of a task"""
    max_tasks: int = 1000
    """registered tasks"""
    max_waiting: int = 256
    """requests that wait for a replica; further ones are refused at once"""

    @classmethod
    def from_environment(cls) -> Self:
        """Those of the environment variables, or the defaults.

        Raises:
            InputError: a variable is not a whole number above 0.
        """
        found = {}
        for one in fields(cls):
            variable = _PREFIX + one.name.upper()
            text = os.environ.get(variable)
            if text is None:
                continue
            if not text.isdecimal() or int(text) < 1:
                raise InputError(
                    f"{variable} = {text!r} is not a whole number above 0: set it to {one.default}"
                )
            found[one.name] = int(text)
        return cls(**found)
