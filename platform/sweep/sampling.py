"""From a search space to the values of a trial, by Optuna's samplers."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GridSampler, RandomSampler, TPESampler
from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.sweep.plan import SamplerName
from metaray.platform.sweep.space_file import SpaceFunction
from metaray.tune_spaces.space import Choice, Dimension, Float, Space

_GRID_POINTS = 3  # of a range: both ends and the middle


def draw(
    space: Space | SpaceFunction, trial: optuna.Trial, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Values by path. ``settings`` are those that are not searched, for conditions.

    A trial that has some values already keeps them and draws the rest.
    """
    if callable(space):
        space(trial)
        return dict(trial.params)
    values: dict[str, Any] = {}
    for path, dimension in space.items():
        if dimension.is_active({**settings, **values}):
            values[path] = _suggest(trial, path, dimension)
    return values


def make_sampler(
    name: SamplerName, space: Space | SpaceFunction, seed: int, number: int
) -> BaseSampler:
    """The sampler of trial ``number``.

    Each trial has its own sampler, seeded by the sweep's seed and the trial's number; what samplers
    know lies in the study. So a sweep that was interrupted continues as if it had not been.

    Raises:
        InputError: a grid over a space that has none, or a missing package.
    """
    if name == "grid":
        return _Grid(grid_of(space), seed=seed)  # the seed is the order of its points
    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if name == "random":
        return RandomSampler(seed=drawn)
    if name == "cmaes":
        if importlib.util.find_spec("cmaes") is None:
            raise InputError("--sampler cmaes needs the package cmaes: pip install cmaes")
        return CmaEsSampler(seed=drawn, warn_independent_sampling=False)
    branches = callable(space) or any(dimension.when for dimension in space.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            seed=drawn,
            multivariate=True,
            group=branches,
            constant_liar=True,
        )


class _Grid(GridSampler):
    @override
    def after_trial(self, *_: object) -> None:
        """Nothing: after the last point Optuna's would stop ``Study.optimize``, which we lack."""


def grid_of(space: Space | SpaceFunction) -> dict[str, list[Any]]:
    """The points of ``space`` that ``--sampler grid`` visits, by path.

    Raises:
        InputError: the space has conditions, or is a function.
    """
    if callable(space) or any(dimension.when for dimension in space.values()):
        raise InputError(
            "--sampler grid needs a space in TOML without conditions: use --sampler random"
        )
    return {path: _points(dimension) for path, dimension in space.items()}


def grid_size(space: Space | SpaceFunction) -> int:
    """How many trials a grid has."""
    return len(list(product(*grid_of(space).values())))


def _suggest(trial: optuna.Trial, path: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):
        return trial.suggest_categorical(path, dimension.options)
    if isinstance(dimension, Float):
        return trial.suggest_float(path, dimension.low, dimension.high, log=dimension.log)
    return trial.suggest_int(path, dimension.low, dimension.high, log=dimension.log)


def _points(dimension: Dimension) -> list[Any]:
    if isinstance(dimension, Choice):
        return list(dimension.options)
    space = np.geomspace if dimension.log else np.linspace
    inner = space(dimension.low, dimension.high, _GRID_POINTS).tolist()[1:-1]
    if isinstance(dimension, Float):
        return [dimension.low, *inner, dimension.high]
    return sorted({dimension.low, *(round(x) for x in inner), dimension.high})
