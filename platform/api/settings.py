"""From Python arguments to the nested settings of a run, and to overrides as of ``--set``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.algorithms.transfer.registry import JOBS
from metaray.platform.api.datasets import Dataset
from metaray.platform.api.jobs import Job
from metaray.platform.api.methods import Method
from metaray.platform.api.models import NetworkLike, model_of
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


def transfer_tree(
    job: Job | str,
    data: Dataset | str | None,
    *,
    target: Dataset | None,
    model: NetworkLike | None,
    workers: int | Settings | None,
    seed: int | None,
    settings: Settings | None,
    checkpoint: str | Path | None,
    train: Settings | None = None,
) -> Tree:
    """The nested settings of a transfer job; ``train`` is its section of this name."""
    given = {
        "seed": seed,
        "job": Job(job) if isinstance(job, str) else job,
        "data": Dataset(data) if isinstance(data, str) else data,
        "target": target,
        "model": model_of(model),
        "init": {"checkpoint": checkpoint},
        "train": train,
        "workers": workers_section(workers),
    }
    return nested(settings, given)


def trial_tree(
    method: Method | Job | str | None,
    data: Dataset | str | None,
    *,
    episodes: Settings,
    transfer: Settings,
    **others: Any,
) -> Tree:
    """The nested settings of a trial: of a meta-training, or of a transfer job.

    Args:
        method: what is trained; a name may be that of a transfer job.
        data: what it is trained on.
        episodes: arguments of ``meta_tree`` alone.
        transfer: arguments of ``transfer_tree`` alone.
        **others: arguments of both.

    Raises:
        InputError: an argument that the other kind of training has.
    """
    job = Job(method) if isinstance(method, str) and method in JOBS.builtin else method
    if isinstance(job, Job):
        _refuse(episodes, "transfer jobs have no episodes")
        return transfer_tree(job, data, **transfer, **others)
    _refuse(transfer, "only transfer jobs take it; mr.MAML(model) gives a method its network")
    return meta_tree(job, data, **episodes, **others)


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


def _refuse(arguments: Settings, reason: str) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise InputError(f"{name} cannot be given here, since {reason}: leave it out")


def _given(given: Settings) -> Tree:
    return {key: _plain(value) for key, value in given.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.tree()
    if isinstance(value, Mapping):
        return _given(value)
    return str(value) if isinstance(value, Path) else value
