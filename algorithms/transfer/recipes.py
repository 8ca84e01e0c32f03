"""Defaults of each kind of transfer job, by the data set."""

from __future__ import annotations

from typing import Any

Recipe = dict[str, Any]
"""A flat dict from config path to value."""

# A narrow network that is as large as the data sets of these sizes can fill.
_NETWORK: Recipe = {"model.name": "conv4"}
_BY_JOB: dict[str, Recipe] = {"finetune": {}}


# A few labels are seen in a step or two: passes over them are no measure of training.
_FEW_LABELS: Recipe = {"train.steps": 500}


def transfer_defaults(job: str, data: str, few_labels: bool = False) -> Recipe:
    """The settings of ``job`` on ``data`` beside the class defaults.

    ``few_labels``: the number of labelled pictures is limited.
    """
    return _NETWORK | _BY_JOB.get(job, {}) | (_FEW_LABELS if few_labels else {})
