"""What a new sweep searches: its space, without what the user has set.

``--set`` wins over every space. A value in the settings file wins over the built-in space, but not
over one that the user gives with ``--space``: that is the more explicit of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna

from metaray.algorithms.errors import InputError
from metaray.platform.config.tree import flat
from metaray.platform.config.values import set_value
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep.plan import SweepPlan, check_space
from metaray.platform.sweep.population import check_population, rates_in
from metaray.platform.sweep.sampling import draw, grid_of, make_sampler
from metaray.platform.sweep.space_file import SpaceFunction, checked_space, read_space
from metaray.tune_spaces.space import Space

GivenSpace = Mapping[str, Any] | Path | None
"""ranges by path, a file of them, or None for those of the method or job"""


def plan_space(plan: SweepPlan, given: GivenSpace) -> tuple[Space | SpaceFunction, list[str]]:
    """What to search, once it is known that trials can be made from it.

    Returns:
        The space without the settings that are set, and a sentence about each of these.

    Raises:
        InputError: not a space, one that no trial can be made from, or nothing is left of it.
    """
    space = _read(plan, given)
    if callable(space):
        suggested: list[str] = []
        left: Space | SpaceFunction = without(space, _fixed(plan, plan.set_keys), suggested.append)
        study = optuna.create_study(sampler=make_sampler("random", left, plan.seed, 0))
        values = draw(left, study.ask(), {})
        plan.config_of(values)
        paths: Collection[str] = values
    else:
        set_keys = plan.set_keys if given is not None else dict(flat(plan.settings))
        suggested, left = list(space), _left_of(space, _fixed(plan, set_keys))
        paths = left
    if not paths:
        raise InputError(
            f"nothing is left to search, as all settings of the space are set "
            f"({', '.join(suggested)}): leave one of them open, or give another space"
        )
    if plan.scheduler == "pbt":
        check_population(plan, left)
    if plan.sampler == "grid":
        grid_of(left)
    if not callable(left):
        check_space(left, plan)
    return left, _sentences(plan, suggested, paths)


def stored_space(plan: SweepPlan, folder: SweepDirectory) -> Space | SpaceFunction:
    """What the sweep in a folder searches."""
    space = read_space(folder.space(plan.space_suffix))
    return without(space, _fixed(plan, plan.set_keys)) if callable(space) else space


def without(
    space: SpaceFunction,
    fixed: Mapping[str, Any],
    on_suggest: Callable[[str], object] = lambda path: None,
) -> SpaceFunction:
    """``space`` as a function that gets the values of ``fixed`` and does not search them."""
    return lambda trial: space(_TrialWithFixed(trial, fixed, on_suggest))


class _TrialWithFixed:
    """An Optuna trial that suggests the fixed value if there is one."""

    def __init__(
        self, trial: Any, fixed: Mapping[str, Any], on_suggest: Callable[[str], object]
    ) -> None:
        self._trial, self._fixed, self._on_suggest = trial, fixed, on_suggest

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._trial, attribute)
        if not attribute.startswith("suggest_"):
            return found

        def suggest(name: str, *args: Any, **options: Any) -> Any:
            self._on_suggest(name)
            return self._fixed[name] if name in self._fixed else found(name, *args, **options)

        return suggest


def _read(plan: SweepPlan, given: GivenSpace) -> Space | SpaceFunction:
    if isinstance(given, Path):
        return read_space(given)
    if given is not None:
        return checked_space(given)
    space = plan.experiment.space(plan.base)
    return rates_in(space, plan) if plan.scheduler == "pbt" else space


def _fixed(plan: SweepPlan, paths: Collection[str]) -> dict[str, Any]:
    """The values that trials have at ``paths``."""
    base = flat(plan.base.model_dump())
    return {path: value for path, value in base if path in paths}


def _left_of(space: Space, fixed: Mapping[str, Any]) -> Space:
    """``space`` without what is fixed, and without what is searched only under other values."""
    return {
        path: dimension
        for path, dimension in space.items()
        if path not in fixed
        and all(fixed[key] == value for key, value in dimension.when.items() if key in fixed)
    }


def _sentences(plan: SweepPlan, suggested: Iterable[str], searched: Collection[str]) -> list[str]:
    """What is done with settings that the user gave and the space has, a sentence each."""
    given = dict(flat(plan.settings))
    values = {path: set_value(given[path]) for path in suggested if path in given}
    return [
        f"{path} is searched in the given space, in place of {value} in the settings"
        if path in searched
        else f"{path} is set to {value}, so it is not searched"
        for path, value in values.items()
    ]
