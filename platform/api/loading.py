"""``mr.load``: what lies in a folder, as a Python object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaray.platform.api.comparison import Comparison
from metaray.platform.api.run import Run
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.run.base_directory import BaseDirectory

FOLDERS: dict[type[BaseDirectory], Callable[[str | Path], Any]] = {CompareDirectory: Comparison}
"""what opens each kind of folder that is no run"""


def load(place: str | Path) -> Any:
    """The run in a folder or at a URI, or the comparison in a folder.

    Returns:
        A ``Run`` or a ``Comparison``, by what lies there. Where a type checker should know which,
        write ``mr.Run(place)`` or ``mr.Comparison(place)``.

    Raises:
        InputError: nothing of the kind is there.
    """
    for directory, opened in FOLDERS.items():
        if (Path(place).expanduser() / directory.MARKER).is_file():
            return opened(place)
    return Run(place)
