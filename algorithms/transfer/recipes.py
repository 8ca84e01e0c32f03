"""Defaults of each kind of transfer job, by the data set."""

from __future__ import annotations

from typing import Any

Recipe = dict[str, Any]
"""A flat dict from config path to value."""

# A narrow network that is as large as the data sets of these sizes can fill.
_NETWORK: Recipe = {"model.name": "conv4"}
_BY_JOB: dict[str, Recipe] = {"finetune": {}}


def transfer_defaults(job: str, data: str) -> Recipe:
    """The settings of ``job`` on ``data`` beside the class defaults."""
    return _NETWORK | _BY_JOB.get(job, {})
