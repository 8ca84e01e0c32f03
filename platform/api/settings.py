"""From Python arguments to the nested settings of a run, and to overrides as of ``--set``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaray.platform.api.datasets import Dataset
from metaray.platform.api.methods import Method
from metaray.platform.api.parts import Part, Settings
from metaray.platform.config.tree import Tree, flat, merged, with_values
from metaray.platform.config.values import set_value


def nested(settings: Settings | None, given: Settings) -> Tree:
    """Arguments and ``settings`` as nested tables; an argument that is None is left open.

    >>> nested({"train.meta_lr": 0.01}, {"task": {"ways": 5, "shots": None}, "seed": None})
    {'train': {'meta_lr': 0.01}, 'task': {'ways': 5}}
    """
    return merged(with_values({}, dict(flat(settings or {}))), _given(given))


def meta_tree(
    method: Method | str | None,
    data: Dataset | str | None,
    *,
    ways: int | None,
    shots: int | None,
    queries: int | None,
    workers: int | Settings | None,
    seed: int | None,
    settings: Settings | None,
    checkpoint: str | Path | None = None,
) -> Tree:
    """The nested settings of a meta-training."""
    given = {
        "seed": seed,
        "method": Method(method) if isinstance(method, str) else method,
        "model": method.model if isinstance(method, Method) else None,
        "data": Dataset(data) if isinstance(data, str) else data,
        "task": {"ways": ways, "shots": shots, "queries": queries},
        "workers": workers_section(workers),
        "init": {"checkpoint": checkpoint},
    }
    return nested(settings, given)


def overrides(settings: Settings | None, given: Settings) -> list[str]:
    """Arguments and ``settings`` as ``key=value`` items.

    >>> overrides({"workers.count": 2}, {"evaluate": {"num_episodes": 100}})
    ['workers.count=2', 'evaluate.num_episodes=100']
    """
    return [f"{key}={set_value(value)}" for key, value in flat(nested(settings, given))]


def workers_section(workers: int | Settings | None) -> Tree | None:
    """The section ``workers`` of a number of workers, or of all its settings."""
    if workers is None or isinstance(workers, int):
        return None if workers is None else {"count": workers}
    return dict(workers)


def _given(given: Settings) -> Tree:
    return {key: _plain(value) for key, value in given.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.tree()
    if isinstance(value, Mapping):
        return _given(value)
    return str(value) if isinstance(value, Path) else value
