"""From what the user asks for to a plan in which every entry is asked the same questions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from metaray.algorithms.episode_shape import EpisodeShape
from metaray.algorithms.errors import InputError
from metaray.algorithms.plugins import is_outside
from metaray.algorithms.registry import METHODS
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.compare.plan import Budget, Curves, Entry, Plan, unique_names
from metaray.platform.config.commands import own_settings
from metaray.platform.config.loading import override
from metaray.platform.config.schema import RunConfig
from metaray.platform.config.tree import flat
from metaray.platform.config.values import set_value
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.meta_data import open_data
from metaray.platform.training.meta.blueprint import Blueprint

_SHOTS, _WAYS = (1, 2, 5, 10, 15, 20), (2, 5, 10, 20)
_FEWEST_QUERIES = 5
# What decides which episodes a test has. Where data lies does not.
_SAME = ("seed", "task.ways", "task.shots", "task.queries", "evaluate.num_episodes")
_RECIPES_FOLLOW = ("data.name", "task.ways", "task.shots")
_PLACES = ("data.root", "data.cache", "data.download")


def make_plan(
    files: Sequence[Path],
    methods: str | None,
    overrides: Sequence[str],
    *,
    budget: Budget,
    num_seeds: int = 3,
    shots: Sequence[int] | None = None,
    ways: Sequence[int] | None = None,
    curve_episodes: int = 100,
    reference: str | None = None,
) -> Plan:
    """The plan for config files and a list of methods (``a,b`` or ``all``), checked on the data.

    Raises:
        InputError: unknown or duplicate names, settings that are wrong or that make entries
            incomparable, or data that is missing or too small.
    """
    below = {"workers": {"count": 0}}  # many runs side by side, one CPU each
    configs = [(file.stem, META.load(file, overrides, below)) for file in files]
    for name in _method_names(methods, overrides) if methods else ():
        configs.append((name, META.load(None, [*overrides, f"method.name={name}"], below)))
    return plan_of(
        configs,
        budget=budget,
        num_seeds=num_seeds,
        shots=shots,
        ways=ways,
        curve_episodes=curve_episodes,
        reference=reference,
    )


def plan_of(
    configs: list[tuple[str, RunConfig]],
    *,
    budget: Budget,
    num_seeds: int = 3,
    shots: Sequence[int] | None = None,
    ways: Sequence[int] | None = None,
    curve_episodes: int = 100,
    reference: str | None = None,
) -> Plan:
    """The plan for entries by name; InputError as of ``make_plan``."""
    if not configs:
        raise InputError(
            "nothing to compare: name config files, or --methods such as maml,protonet or all"
        )
    unique_names([name for name, _ in configs])
    if reference is not None and reference not in dict(configs):
        raise InputError(_unknown("--reference", reference, dict(configs)))
    notes, alike = _made_alike(_in_channels_of_starts(configs))
    entries = tuple(
        Entry(name=name, config=_on_its_device(name, budget.applied(config)))
        for name, config in alike
    )
    notes += _batch_norm_note(entries) + _untrained_note(entries)
    source = _checked(entries)
    curves = _curves(entries[0].config, source, shots, ways, curve_episodes)
    first = entries[0].config.seed
    return Plan(
        entries=entries,
        seeds=tuple(range(first, first + num_seeds)),
        budget=budget,
        curves=curves,
        reference=reference,
        notes=tuple(notes),
    )


def _method_names(text: str, overrides: Iterable[str]) -> list[str]:
    """``all`` are those that can learn the kind of data that is asked for."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name != "all" and not is_outside(name) and name not in METHODS:
            raise InputError(_unknown("--methods", name, METHODS))
    if names != ["all"]:
        return names
    is_regression = META.load(None, _of_data(overrides)).data.name == "sinusoid"
    return [name for name in METHODS if METHODS[name].learns_regression or not is_regression]


def _of_data(overrides: Iterable[str]) -> list[str]:
    return [item for item in overrides if item.partition("=")[0].strip() == "data.name"]


def _unknown(option: str, found: str, known: Iterable[str]) -> str:
    near = get_close_matches(found, list(known), n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"{option} {found!r} is not one of {', '.join(known)}{hint}"


def _in_channels_of_starts(configs: list[tuple[str, RunConfig]]) -> list[tuple[str, RunConfig]]:
    """Entries that leave the channels of images to the data see those of an encoder's entry."""
    said = {config.data.channels for _, config in configs} - {None}
    if len(said) != 1:
        return configs
    (channels,) = said
    return [(name, override(config, [f"data.channels={channels}"])) for name, config in configs]


def _made_alike(
    configs: list[tuple[str, RunConfig]],
) -> tuple[list[str], list[tuple[str, RunConfig]]]:
    """Entries that are tested on the same episodes, and notes of what was changed for it.

    Recipes may differ in what they ask: the first entry's holds for all. What users have set
    themselves is never changed.
    """
    first_name, first = configs[0]
    wanted = dict(flat(first.model_dump()))
    own = {name: set(own_settings(config)) for name, config in configs}
    notes: dict[str, list[str]] = {}
    alike = []
    for name, config in configs:
        values = dict(flat(config.model_dump()))
        changes = []
        for key in filter(_decides_the_test, values):
            if values[key] == wanted[key]:
                continue
            if key in own[name] or key in own[first_name] or key in _RECIPES_FOLLOW:
                raise InputError(
                    f"{first_name} and {name} cannot be compared: {key} is {wanted[key]} in one "
                    f"and {values[key]} in the other; set it for all with --set {key}=..."
                )
            changes.append(f"{key}={set_value(wanted[key])}")
            notes.setdefault(f"{key} = {set_value(wanted[key])}", []).append(
                f"{name} ({set_value(values[key])})"
            )
        alike.append((name, override(config, changes)))
    told = [
        f"{setting} holds for all, as for {first_name}; the recipes of others differ: "
        + ", ".join(names)
        for setting, names in notes.items()
    ]
    return told, alike


def _decides_the_test(key: str) -> bool:
    return key in _SAME or (key.startswith("data.") and key not in _PLACES)


def _on_its_device(name: str, config: RunConfig) -> RunConfig:
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


def _batch_norm_note(entries: Sequence[Entry]) -> list[str]:
    modes = {e.config.evaluate.batch_norm for e in entries}
    if len(modes) == 1:
        return []
    return [
        "Batch norm is transductive for some entries and inductive for others, as in their papers: "
        "transductive ones may also learn from the other queries of an episode. "
        "Set evaluate.batch_norm to make them alike."
    ]


def _untrained_note(entries: Sequence[Entry]) -> list[str]:
    names = [entry.name for entry in entries if entry.config.train.outer_steps == 0]
    return [f"Tested as the run in init.checkpoint left it: {', '.join(names)}."] if names else []


def _checked(entries: Sequence[Entry]) -> EpisodeSource:
    """The data, opened once for every entry, so that what does not fit is known before a run."""
    for entry in entries:
        try:
            source = open_data(entry.config)
            Blueprint(entry.config, source).layouts  # noqa: B018 - builds the network
        except InputError as error:
            raise InputError(f"{entry.name}: {error}") from error
    return source


def _curves(
    config: RunConfig,
    source: EpisodeSource,
    shots: Sequence[int] | None,
    ways: Sequence[int] | None,
    episodes: int,
) -> Curves:
    """The shapes asked for, or those of the usual ones that the data can serve.

    The number of queries is one for all: under transductive batch norm it is part of the question.
    """
    task = config.task
    own_shots = sorted({task.shots, *(_SHOTS if shots is None else shots)})
    own_ways = sorted({task.ways, *(_WAYS if ways is None else ways)})
    if source.kind == "regression":
        own_ways = []
    if shots is None:
        own_shots = [k for k in own_shots if _most_queries(source, config, task.ways, k)]
    if ways is None:
        own_ways = [n for n in own_ways if _most_queries(source, config, n, task.shots)]
    pairs = [(task.ways, k) for k in own_shots] + [(n, task.shots) for n in own_ways]
    lowest = 1 if shots is not None else _FEWEST_QUERIES
    queries = [_most_queries(source, config, n, k, lowest) for n, k in pairs]
    for (n, k), most in zip(pairs, queries, strict=True):
        if most == 0:  # say why, in the words of the data set
            source.check("test", EpisodeShape(ways=n, shots=k, queries=1))
    return Curves(
        shots=tuple(own_shots),
        ways=tuple(own_ways),
        queries=min(queries, default=task.queries),
        episodes=episodes,
    )


def _most_queries(
    source: EpisodeSource, config: RunConfig, ways: int, shots: int, lowest: int = _FEWEST_QUERIES
) -> int:
    """Queries per class, at most those of the test, that leave room for the shots; 0: none."""
    for queries in range(config.task.queries, min(lowest, config.task.queries) - 1, -1):
        try:
            source.check("test", EpisodeShape(ways=ways, shots=shots, queries=queries))
        except InputError:
            continue
        return queries
    return 0
