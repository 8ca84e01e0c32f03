"""The memory of a run, which a comparison measures in the process that computed it."""

from __future__ import annotations

import resource
import sys


def peak_memory_bytes() -> int:
    """The most memory that this process has held, Python and its libraries included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
