"""``mr.load``: what lies in a folder, as a Python object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaray.algorithms.paths import user_path
from metaray.platform.api.comparison import Comparison
from metaray.platform.api.run import Run
from metaray.platform.api.runs import learner_of
from metaray.platform.api.sweeping import Sweep
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.run.base_directory import BaseDirectory
from metaray.platform.run.saved_model_directory import SavedModelDirectory
from metaray.platform.run.sweep_directory import SweepDirectory

if TYPE_CHECKING:
    from metaray.platform.inference.learner import Learner


def _saved(place: str | Path) -> Any:
    from metaray.platform.inference.saved import load_saved  # imports torch

    return load_saved(user_path(place))


FOLDERS: dict[type[BaseDirectory], Callable[[str | Path], Any]] = {
    CompareDirectory: Comparison,
    SweepDirectory: Sweep,
    SavedModelDirectory: _saved,
}
"""what opens each kind of folder that is no run"""


def load(place: str | Path) -> Any:
    """The run in a folder or at a URI, or the comparison, sweep or saved model in a folder.

    Returns:
        A ``Run``, a ``Comparison``, a ``Sweep``, a ``Learner`` or an ``AdaptedModel``, by what lies
        there. Where a type checker should know which, write ``mr.Run(place)``,
        ``mr.Comparison(place)`` or ``mr.Sweep(place)``.

    Raises:
        InputError: no such folder is there.
    """
    for directory, opened in FOLDERS.items():
        if (user_path(place) / directory.MARKER).is_file():
            return opened(place)
    return Run(place)


def load_learner(place: str | Path) -> Learner:
    """The trained model of the run in a folder or at a URI, or a saved one.

    Raises:
        InputError: nothing of that kind is there, or it has not learned classes of pictures.
    """
    from metaray.platform.inference.adapted_model import AdaptedModel

    if (user_path(place) / SavedModelDirectory.MARKER).is_file():
        found = _saved(place)
        return found.learner if isinstance(found, AdaptedModel) else found
    return learner_of(str(place))
