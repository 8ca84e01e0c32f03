"""The kinds of config. Which one some settings describe is decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.config.meta import RunConfig
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.transfer import TransferConfig

CONFIGS: tuple[type[ExperimentConfig], ...] = (RunConfig, TransferConfig)
"""settings without any of these sections are those of the first"""
INPUTS = tuple(dict.fromkeys(path for one in CONFIGS for path in one.inputs))
"""paths of the settings of any kind that name a file or a folder to read"""


def config_class_of(settings: Mapping[str, Any]) -> type[ExperimentConfig]:
    """The class of the config that settings in nested tables describe.

    Raises:
        InputError: they have sections of several kinds.

    Example:
        >>> config_class_of({"job": {"name": "simclr"}}).kind
        'transfer'
    """
    found = [one for one in CONFIGS if one.section in settings]
    if len(found) > 1:
        sections = " and ".join(one.section for one in found)
        raise InputError(
            f"settings have the sections {sections}, of which a run has only one: leave out the "
            "settings of the other"
        )
    return found[0] if found else CONFIGS[0]
