"""From what the user has set to the resolved config of a transfer job."""

from __future__ import annotations

from pathlib import Path

from metaray.algorithms.plugins import located
from metaray.algorithms.transfer.recipes import transfer_defaults
from metaray.algorithms.transfer.registry import JOBS
from metaray.platform.config.loading import (
    Tree,
    get,
    merged,
    put,
    read_config,
    validate_as,
)
from metaray.platform.config.transfer import TransferConfig


def resolve_transfer(user: Tree, start: Tree) -> TransferConfig:
    """The config in which everything that ``user`` leaves open has the default of its job.

    Args:
        user: what the user has set, in nested tables.
        start: settings of the network that the job starts from; they win over the defaults.

    Raises:
        InputError: as ``loading.resolve``.
    """
    default = TransferConfig()
    job = get(user, "job.name", default.job.name)
    data = get(user, "data.name", default.data.name)
    tree: Tree = {"job": {"name": job}}
    few_labels = get(user, "data.labels_per_class", None) is not None
    few_labels = few_labels and get(user, "train.epochs", None) is None
    trained = get(user, "init.checkpoint", None) or get(user, "model.weights", None)
    norm_is_free = not trained and get(user, "model.name", None) != "mlp"
    defaults = transfer_defaults(job, data, few_labels, norm_is_free)
    if isinstance(job, str) and job not in JOBS.builtin:
        defaults |= JOBS[located(job)].defaults
    if get(user, "train.steps", None) is not None:
        defaults.pop("train.epochs", None)
    for path, value in defaults.items():
        put(tree, path, value)
    tree = merged(tree, start)
    return validate_as(TransferConfig, merged(tree, user))


def read_transfer_config(path: Path) -> TransferConfig:
    """The settings in a transfer run's ``config.json``."""
    return read_config(TransferConfig, path)
