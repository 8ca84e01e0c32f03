"""Defaults of transfer jobs that do not belong to one job alone."""

from __future__ import annotations

from typing import Any

from metaray.algorithms.transfer.job_section import JobSection

Recipe = dict[str, Any]
"""A flat dict from config path to value."""

# A narrow network that is as large as the data sets of these sizes can fill.
_NETWORK: Recipe = {"model.name": "conv4"}
SUPERVISED: Recipe = {"train.lr": 0.01, "train.weight_decay": 1e-4}
"""Labels, from a trained start: the defaults of fine-tuning"""
FROM_SCRATCH: Recipe = {"train.lr": 0.05, "train.weight_decay": 5e-4}
"""Labels, from a random start: Tian, Krishnan & Isola, ICLR 2020 (arXiv 1910.10699)"""
LINEAR_PROBE: Recipe = {"train.lr": 0.025, "train.weight_decay": 0.0}
"""A linear classifier: 0.1 x batch / 256 (Chen et al. 2020, appendix B.6), for a batch of 64"""
# A few labels are seen in a step or two: passes over them are no measure of training.
_FEW_LABELS: Recipe = {"train.steps": 500}


def transfer_defaults(
    job: type[JobSection], few_labels: bool = False, norm_is_free: bool = True
) -> Recipe:
    """The settings of ``job`` beside the class defaults.

    Args:
        job: the config class of the job.
        few_labels: the number of labelled images is limited.
        norm_is_free: the network has a norm, and was not trained with one.
    """
    norm = job.network_defaults if norm_is_free else {}
    few = _FEW_LABELS if few_labels and job.uses_labels else {}
    return {**_NETWORK, **norm, **job.defaults, **few}
