"""From what the user asks for to a plan in which every entry is asked the same questions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.compare.alike import made_alike
from metaray.platform.compare.kind import comparison_of
from metaray.platform.compare.plan import Entry, Plan, unique_names
from metaray.platform.config.loading import override, read_toml, with_overrides
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.tree import Tree, merged
from metaray.platform.experiment.base import Experiment
from metaray.platform.experiment.comparison import Budget, Comparable
from metaray.platform.experiment.registry import experiment_of

_ONE_PROCESS: Tree = {"workers": {"count": 0}}  # many runs side by side, one CPU each


def named_entries(
    files: Sequence[Path], methods: str | None, overrides: Iterable[str]
) -> list[tuple[str, Tree]]:
    """The entries of config files and of a list of methods (``a,b`` or ``all``), by name.

    Raises:
        InputError: a file cannot be read, a method is unknown, or runs of such settings cannot be
            compared.
    """
    overrides = list(overrides)
    entries = [(file.stem, with_overrides(read_toml(file), overrides)) for file in files]
    if methods:
        settings = with_overrides({}, overrides)
        comparison = comparison_of({methods: experiment_of(settings)})
        entries += comparison.named(methods, settings)
    return entries


def make_plan(
    entries: Sequence[tuple[str, Tree]],
    *,
    budget: Budget,
    num_seeds: int = 3,
    shots: Sequence[int] | None = None,
    ways: Sequence[int] | None = None,
    curve_episodes: int = 100,
    reference: str | None = None,
) -> Plan:
    """The plan for entries, checked on the data.

    Args:
        entries: the name of each, and what the user has set for it, in nested tables.
        budget: of each run.
        num_seeds: trainings of each entry.
        shots: of the curve; None: the usual numbers that the data can serve.
        ways: of the curve, as ``shots``.
        curve_episodes: test episodes at each point of the curves.
        reference: entry that the others are compared to; None: the best one.

    Raises:
        InputError: unknown or duplicate names, settings that are wrong or that make entries
            incomparable, or data that is missing or too small.
    """
    if not entries:
        raise InputError(
            "nothing to compare: name config files, or --methods such as maml,protonet or all"
        )
    unique_names([name for name, _ in entries])
    trees = dict(entries)
    if reference is not None and reference not in trees:
        near = get_close_matches(reference, list(trees), n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise InputError(f"--reference {reference!r} is not one of {', '.join(trees)}{hint}")
    kinds = {name: experiment_of(tree) for name, tree in trees.items()}
    comparison = comparison_of(kinds)
    fits = {name: _fitted(kinds[name], merged(_ONE_PROCESS, trees[name]), name) for name in trees}
    alike, notes = made_alike({name: config for name, (config, _) in fits.items()}, comparison)
    notes = [*notes, *(f"{name}: {fit}." for name, (_, fit) in fits.items() if fit)]
    final = {
        name: _on_its_device(name, comparison.with_budget(config, budget))
        for name, config in alike.items()
    }
    first, *_ = final.values()
    data, *_ = [_checked(name, config, comparison) for name, config in final.items()]
    return Plan(
        entries=tuple(Entry(name=name, config=config) for name, config in final.items()),
        seeds=tuple(range(first.seed, first.seed + num_seeds)),
        budget=budget,
        curves=comparison.curves(first, data, shots, ways, curve_episodes),
        reference=reference,
        notes=(*notes, *comparison.notes(final)),
    )


def _fitted(kind: Experiment[Any], tree: Tree, name: str) -> tuple[ExperimentConfig, str]:
    try:
        config: ExperimentConfig
        config, fit = kind.fitted(kind.resolve(tree))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return config, fit


def _checked(name: str, config: ExperimentConfig, comparison: Comparable[Any]) -> Any:
    """The data of an entry, so that what does not fit is known before a run."""
    try:
        return comparison.check(config)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _on_its_device(name: str, config: ExperimentConfig) -> ExperimentConfig:
    """Runs share machines, so one may use no GPU that it has not reserved."""
    workers = config.workers
    if workers.gpus > 0:
        return config
    if workers.device.startswith("cuda"):
        raise InputError(
            f"{name} computes on {workers.device} without reserving a GPU, which runs side by side "
            "would fight over: set workers.gpus (a fraction will do)"
        )
    return override(config, ["workers.device=cpu"]) if workers.device == "auto" else config
