"""Versions of Ray and Python: those of a cluster, and those of here."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version
from typing import NamedTuple

from typing_extensions import Self

from metaray.cluster.errors import ClusterError

_OLDEST_RAY, _PYTHONS = (2, 52), ((3, 10), (3, 12))
_PAIR = re.compile(r"Ray: (\d+\.\S+)\s+Python: (\d+\.\S+)")


class Versions(NamedTuple):
    """Of Ray and of Python."""

    ray: str
    python: str

    @classmethod
    def here(cls) -> Self:
        """Those of this process."""
        return cls(version("ray"), platform.python_version())

    @property
    def text(self) -> str:
        """For a sentence."""
        return f"Ray {self.ray} and Python {self.python}"

    def check_supported(self) -> None:
        """Raise ClusterError unless metaray runs on a cluster of these versions."""
        mine = self.here()
        if minor(self.ray) < _OLDEST_RAY:
            raise ClusterError(
                f"the cluster runs Ray {self.ray} and metaray needs 2.52 or later (here: "
                f"{mine.ray}): upgrade the cluster"
            )
        if not _PYTHONS[0] <= minor(self.python) <= _PYTHONS[1]:
            raise ClusterError(
                f"the cluster runs Python {self.python} and metaray needs 3.10 to 3.12 (here: "
                f"{mine.python}): start the cluster with one of these"
            )


def minor(of: str) -> tuple[int, int]:
    """The first two numbers.

    >>> minor("2.60.0")
    (2, 60)
    """
    first, second, *_ = re.findall(r"\d+", of)
    return int(first), int(second)


def mismatch(error: Exception, label: str) -> ClusterError | None:
    """What Ray says where the cluster at ``label`` has other versions than here; None if not that.

    >>> said = "Version mismatch: The cluster was started with: Ray: 2.54.0 Python: 3.12.1 This "
    >>> said += "process on Node was started with: Ray: 2.60.0 Python: 3.11.7"
    >>> print(mismatch(RuntimeError(said), "10.0.0.5:6379"))
    ... # doctest: +ELLIPSIS +NORMALIZE_WHITESPACE
    the Ray cluster at 10.0.0.5:6379 has Ray 2.54.0 and Python 3.12.1, and this environment has
    Ray 2.60.0 and Python 3.11.7: ...
    """
    found = _PAIR.findall(str(error))
    if len(found) != 2:
        return None
    there, here = (Versions(*pair) for pair in found)
    try:
        there.check_supported()
    except ClusterError as unsupported:
        return unsupported
    needs = [f"use Python {there.python}"] if there.python != here.python else []
    needs += [f'run pip install "ray=={there.ray}"'] if there.ray != here.ray else []
    return ClusterError(
        f"the Ray cluster at {label} has {there.text}, and this environment has {here.text}: Ray "
        f"lets only the same versions join, so {' and '.join(needs)} here, or send the "
        "command as a job with metaray submit, which runs with those of the cluster"
    )
