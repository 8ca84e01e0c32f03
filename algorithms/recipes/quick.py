"""Settings for the built-in characters, under which each method learns in minutes.

Measured choices, where ``recipes`` has the published ones.
"""

from __future__ import annotations

from typing import Any

Recipe = dict[str, Any]
"""A flat dict from config path to value."""

# No paper uses the drawn characters: a narrow network and large outer steps learn them in
# minutes. Five queries per class cost little and say more of a task than one. MANN and SNAIL leave
# chance sooner with batch norm, which in so short a training outweighs what it costs them.
_QUICK: Recipe = {
    "model.width": 32,
    "task.train_queries": 5,
    "train.schedule": "cosine",
    "train.outer_steps": 600,
}
_QUICK_BASELINE: Recipe = {
    "data.rotations": "none",
    "model.width": 32,
    "method.batch_size": 128,
    "train.meta_lr": 3e-3,
    "train.schedule": "cosine",
    "train.outer_steps": 800,
    "train.validate_every": 100,
}
HEADS = ("nearest_mean", "knn", "logistic", "ridge", "lda", "pt_map", "laplacianshot")
"""the heads on frozen features"""
GLYPHS: dict[str, Recipe] = {
    "maml": _QUICK | {"method.inner_lr": 1.0, "train.meta_lr": 5e-3},
    "fomaml": _QUICK | {"method.inner_lr": 0.4, "train.meta_lr": 3e-3},
    "anil": _QUICK | {"train.meta_lr": 3e-3},
    "reptile": {"model.width": 32, "train.outer_steps": 2000},
    "protonet": {
        "model.width": 32,
        "task.train_ways": 20,
        "train.meta_batch_size": 2,
        "train.meta_lr": 2e-3,
        "train.outer_steps": 400,
    },
    "mamlpp": _QUICK
    | {
        "method.inner_lr": 0.4,
        "method.inner_steps": 3,
        "model.name": "conv4_strided",
        "train.meta_batch_size": 16,
        "train.meta_lr": 5e-3,
    },
    "metasgd": _QUICK | {"method.inner_lr_high": 0.5, "train.meta_lr": 5e-3},
    "imaml": _QUICK
    | {"method.inner_steps": 5, "method.eval_inner_steps": 10, "train.meta_lr": 5e-3},
    "protomaml": _QUICK
    | {
        "method.inner_steps": 3,
        "method.eval_inner_steps": 5,
        "model.name": "conv4_strided",
        "train.meta_batch_size": 16,
        "train.shard_size": 8,
        "train.meta_lr": 5e-3,
        "train.outer_steps": 400,
    },
    "matching": {
        "method.temperature": 0.1,
        "model.width": 32,
        "train.meta_batch_size": 4,
        "train.shard_size": 2,
        "train.meta_lr": 2e-3,
        "train.outer_steps": 400,
    },
    "relation": {
        "model.width": 32,
        "task.train_queries": 5,
        "train.meta_batch_size": 4,
        "train.shard_size": 2,
        "train.meta_lr": 2e-3,
        "train.schedule": "cosine",
        "train.outer_steps": 600,
    },
    "siamese": {
        "model.width": 32,
        "train.meta_batch_size": 2,
        "train.meta_lr": 2e-3,
        "train.outer_steps": 400,
    },
    "mann": _QUICK
    | {
        "model.norm": "batch",
        "train.meta_batch_size": 16,
        "train.meta_lr": 2e-3,
        "train.outer_steps": 3000,
    },
    "snail": _QUICK
    | {
        "method.width": 32,
        "model.name": "conv4_strided",
        "model.norm": "batch",
        "train.meta_batch_size": 16,
        "train.meta_lr": 1e-3,
        "train.outer_steps": 2000,
    },
    "caml": {
        "method.layers": 2,
        "method.heads": 2,
        "method.width": 128,
        "model.width": 32,
        "model.norm": "batch",
        "train.meta_lr": 1e-3,
        "train.outer_steps": 1000,
    },
    "baseline": _QUICK_BASELINE,
    "baselinepp": _QUICK_BASELINE,
    **dict.fromkeys(HEADS, Recipe()),
}
