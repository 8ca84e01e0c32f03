"""The kind of run that a comparison compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.experiment.base import Experiment
from metaray.platform.experiment.comparison import Comparable
from metaray.platform.experiment.registry import EXPERIMENTS


def comparison_of(kinds: Mapping[str, Experiment[Any]]) -> Comparable[Any]:
    """How entries are compared, whose kinds are given by their names.

    Raises:
        InputError: entries are of a kind that cannot be compared, or of several kinds.
    """
    for kind in kinds.values():
        if kind.comparison is None:
            able = [one.plural for one in EXPERIMENTS.values() if one.comparison is not None]
            names = ", ".join(name for name, one in kinds.items() if one is kind)
            raise InputError(
                f"metaray compare compares {' or '.join(able)}, and got {kind.plural} ({names}): "
                f"leave these entries out, or their settings {kind.config_class.section}.*"
            )
    (name, first), *others = kinds.items()
    for other, kind in others:
        if kind is not first:
            raise InputError(
                f"{name} and {other} cannot be compared, since they are {first.plural} and "
                f"{kind.plural}: compare runs of one kind"
            )
    assert first.comparison is not None  # as checked above
    return first.comparison
