"""Defaults of each kind of transfer job, by the data set."""

from __future__ import annotations

from typing import Any

Recipe = dict[str, Any]
"""A flat dict from config path to value."""

# A narrow network that is as large as the data sets of these sizes can fill.
_NETWORK: Recipe = {"model.name": "conv4"}
# The networks of Ganin et al. normalise nothing over a batch, which would tell its domains apart.
_NORM_BY_JOB: dict[str, Recipe] = {"dann": {"model.norm": "group"}}
SUPERVISED: Recipe = {"train.lr": 0.01, "train.weight_decay": 1e-4}
"""Labels, from a trained start: the defaults of fine-tuning"""
FROM_SCRATCH: Recipe = {"train.lr": 0.05, "train.weight_decay": 5e-4}
"""Labels, from a random start: Tian, Krishnan & Isola, ICLR 2020 (arXiv 1910.10699)"""
LINEAR_PROBE: Recipe = {"train.lr": 0.025, "train.weight_decay": 0.0}
"""A linear classifier: 0.1 x batch / 256 (Chen et al. 2020, appendix B.6), for a batch of 64"""
_BY_JOB: dict[str, Recipe] = {
    "finetune": {},
    # Ganin et al. 2016; accuracy on the source, which validation sees, is no reason to stop early
    "dann": {
        "train.batch_size": 64,
        "train.shard_size": 64,
        "train.lr": 0.01,
        "train.schedule": "dann",
        "train.weight_decay": 0.0,
        "evaluate.checkpoint": "last",
    },
    # of Tian et al., who compare such methods on CIFAR-100
    "distill": FROM_SCRATCH,
    # Chen et al. 2020, appendix B.9, at a batch of 256: 1.0 x 256 / 256; 100 to 1,000 epochs there,
    # 10 of them of warm-up
    "simclr": {
        "train.epochs": 50.0,
        "train.batch_size": 256,
        "train.shard_size": 128,
        "train.optimizer": "lars",
        "train.lr": 1.0,
        "train.weight_decay": 1e-6,
        "train.warmup": 0.1,
        "evaluate.checkpoint": "last",
    },
    # He et al. 2020, batch 256; queue and momentum as in the authors' notebook for CIFAR-10; 200
    # epochs there
    "moco": {
        "train.epochs": 50.0,
        "train.batch_size": 256,
        "train.shard_size": 128,
        "train.lr": 0.03,
        "train.weight_decay": 1e-4,
        "job.queue_size": 4096,
        "job.momentum": 0.99,
        "evaluate.checkpoint": "last",
    },
}


# A few labels are seen in a step or two: passes over them are no measure of training.
_FEW_LABELS: Recipe = {"train.steps": 500}
_WITHOUT_LABELS = ("simclr", "moco")  # they see all images, however few have labels


def transfer_defaults(
    job: str, data: str, few_labels: bool = False, norm_is_free: bool = True
) -> Recipe:
    """The settings of ``job`` on ``data`` beside the class defaults.

    ``few_labels``: the number of labelled images is limited. ``norm_is_free``: the network has a
    norm, and was not trained with one.
    """
    norm = _NORM_BY_JOB.get(job, {}) if norm_is_free else {}
    few = _FEW_LABELS if few_labels and job not in _WITHOUT_LABELS else {}
    return _NETWORK | norm | _BY_JOB.get(job, {}) | few
