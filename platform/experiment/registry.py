"""The kinds of experiment, by the kind of their config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metaray.platform.config.kinds import config_class_of
from metaray.platform.config.loading import read_config_tree
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.experiment.base import Experiment
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.run.directory import RunDirectory

EXPERIMENTS: dict[str, Experiment[Any]] = {kind.name: kind for kind in (META, TRANSFER)}
"""by name"""


def experiment_of(settings: ExperimentConfig | Mapping[str, Any]) -> Experiment[Any]:
    """The experiment that a config, or settings in nested tables, describe.

    Example:
        >>> experiment_of({"job": {"name": "simclr"}}).name
        'transfer'
    """
    if isinstance(settings, ExperimentConfig):
        return EXPERIMENTS[settings.kind]
    return EXPERIMENTS[config_class_of(settings).kind]


def experiment_in(run: RunDirectory) -> Experiment[Any]:
    """The experiment of a run directory.

    Raises:
        InputError: its ``config.json`` is damaged.
    """
    return experiment_of(read_config_tree(run.config))
