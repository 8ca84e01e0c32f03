"""The plan of a new sweep and its folder, from what the command line or Python asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metaray.platform.config.tree import Tree
from metaray.platform.experiment.registry import experiment_of
from metaray.platform.run.directory import fresh_place
from metaray.platform.run.storage.working_copy import shared_folder
from metaray.platform.sweep.plan import SweepPlan, make_plan
from metaray.platform.sweep.storage import shown


def new_plan(
    settings: Tree,
    *,
    set_keys: Sequence[str],
    space: Mapping[str, Any] | Path | None,
    out: str | Path | None,
    storage: str | None,
    **options: Any,
) -> tuple[SweepPlan, Path]:
    """The plan of a new sweep and its folder, which is not made yet.

    Args:
        settings: what all trials share, in nested tables.
        set_keys: paths of the settings that are not searched even if the space has them.
        space: what to vary; only the form of its file matters here.
        out: the folder; None: a name with the time in ``runs``.
        storage: URL of an Optuna storage; None: a file in the folder.
        **options: other fields of ``SweepPlan``; one that is None has its default.

    Raises:
        InputError: a setting or an option is wrong, or two exclude each other.
    """
    experiment = experiment_of(settings)
    name = experiment.run_name(experiment.resolve(settings))
    folder = shared_folder(str(out or fresh_place(f"sweep-{name}")), "a sweep")
    plan = make_plan(
        settings,
        set_keys=tuple(set_keys),
        space_suffix=space.suffix if isinstance(space, Path) else None,
        study_name=folder.name,
        storage=shown(storage) if storage else None,
        **options,
    )
    return plan, folder
