"""``mr.load``: what lies in a folder, as a Python object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaray.algorithms.paths import user_path
from metaray.platform.api.comparison import Comparison
from metaray.platform.api.run import Run
from metaray.platform.api.sweeping import Sweep
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.run.base_directory import BaseDirectory
from metaray.platform.run.sweep_directory import SweepDirectory

FOLDERS: dict[type[BaseDirectory], Callable[[str | Path], Any]] = {
    CompareDirectory: Comparison,
    SweepDirectory: Sweep,
}
"""what opens each kind of folder that is no run"""


def load(place: str | Path) -> Any:
    """The run in a folder or at a URI, or the comparison or the sweep in a folder.

    Returns:
        A ``Run``, a ``Comparison`` or a ``Sweep``, by what lies there. Where a type checker should
        know which, write ``mr.Run(place)``, ``mr.Comparison(place)`` or ``mr.Sweep(place)``.

    Raises:
        InputError: no such folder is there.
    """
    for directory, opened in FOLDERS.items():
        if (user_path(place) / directory.MARKER).is_file():
            return opened(place)
    return Run(place)
