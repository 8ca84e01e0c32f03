"""Recipes: a run that names method, data, ways and shots has the values that were published."""

from __future__ import annotations

from typing import Any

import pytest

from metaray.platform.experiment.meta import META

Case = tuple[str, str, int, int, dict[str, Any]]
"""method, data, ways, shots, and what must come of them"""

# The sources are named in docs/methods.md.
ADAM_1E3 = {"train.optimizer": "adam", "train.meta_lr": 1e-3}
CHEN = {**ADAM_1E3, "task.train_queries": 16, "train.schedule": "constant", "data.augment": True}
CHARACTERS: list[Case] = [
    # Finn et al.: 0.4 and 0.1 of a loss summed over the ways, here of a mean
    ("maml", "omniglot", 5, 1, {"method.inner_lr": 2.0, "method.inner_steps": 1}),
    ("maml", "omniglot", 20, 1, {"method.inner_lr": 2.0, "train.meta_batch_size": 16}),
    ("reptile", "omniglot", 5, 1, {"method.inner_batch": 10, "task.train_shots": 10}),
    ("reptile", "omniglot", 20, 1, {"method.inner_lr": 5e-4, "train.outer_steps": 200_000}),
    ("protonet", "omniglot", 5, 1, {"task.train_ways": 60, "task.train_queries": 5}),
    (
        "mamlpp",
        "omniglot",
        5,
        5,
        {
            "method.inner_lr": 0.1,
            "method.inner_steps": 5,
            "method.multi_step_share": 0.1,
            "task.train_queries": 1,
            "train.meta_batch_size": 8,
            "train.outer_steps": 50_000,
            "train.min_meta_lr": 1e-5,
            "model.width": 64,
        },
    ),
    ("metasgd", "omniglot", 5, 1, {**ADAM_1E3, "method.inner_steps": 1}),
    (
        "protomaml",
        "omniglot",
        5,
        1,
        {
            "method.inner_lr": 0.311,
            "method.inner_steps": 6,
            "method.eval_inner_steps": 11,
            "method.second_order": "none",
            "task.train_queries": 10,
            "train.meta_lr": 7.2e-4,
            "train.lr_step_every": 5000,
            "train.lr_step_factor": 0.643,
            "train.outer_steps": 75_000,
        },
    ),
    ("matching", "omniglot", 20, 1, {"task.train_ways": 20, "model.name": "conv4"}),
    ("relation", "omniglot", 5, 1, {"task.train_queries": 19, "train.clip_norm": 0.5}),
    ("relation", "omniglot", 5, 5, {"task.train_queries": 15, "train.outer_steps": 1_000_000}),
    ("relation", "omniglot", 20, 1, {"task.train_queries": 10, "train.lr_step_every": 100_000}),
    (
        "mann",
        "omniglot",
        5,
        1,
        {
            **ADAM_1E3,
            "method.controller_width": 200,
            "method.memory_slots": 128,
            "method.memory_width": 40,
            "method.read_heads": 4,
            "method.usage_decay": 0.95,
            "model.norm": "group",
            "train.meta_batch_size": 16,
            "train.outer_steps": 100_000,
        },
    ),
    (
        "snail",
        "omniglot",
        5,
        1,
        {"method.sequence_length": 6, "method.width": 128, "model.norm": "group"},
    ),
    ("snail", "omniglot", 20, 1, {"train.meta_lr": 1e-4, "train.meta_batch_size": 32}),
    ("baseline", "omniglot", 5, 1, {**ADAM_1E3, "train.outer_steps": 5 * 4112 * 20 // 16}),
    ("baselinepp", "omniglot", 5, 1, {"method.scale": 10.0, "method.eval_scale": 2.0}),
]
PHOTOGRAPHS: list[Case] = [
    (
        "maml",
        "miniimagenet",
        5,
        1,
        {
            "method.inner_lr": 0.05,  # Finn et al.: 0.01, summed
            "train.meta_batch_size": 4,
            "train.clip_value": 10.0,
            "model.name": "conv4",
            "model.width": 32,
            "data.image_size": 84,
            "data.split": "published",
            "data.rotations": "none",
        },
    ),
    ("maml", "miniimagenet", 5, 5, {"train.meta_batch_size": 2}),
    ("protonet", "miniimagenet", 5, 1, {"task.train_ways": 30}),
    ("protonet", "miniimagenet", 5, 5, {"task.train_ways": 20}),
    ("reptile", "miniimagenet", 5, 1, {"method.inner_steps": 8, "task.train_shots": 15}),
    (
        "mamlpp",
        "miniimagenet",
        5,
        5,
        {
            **ADAM_1E3,
            "method.inner_lr": 0.01,
            "method.inner_steps": 5,
            "method.multi_step_share": 0.15,
            "task.train_queries": 15,
            "train.meta_batch_size": 2,
            "train.schedule": "constant",
            "train.outer_steps": 50_000,
            "train.clip_value": 10.0,
            "model.width": 48,
        },
    ),
    (
        "metasgd",
        "miniimagenet",
        5,
        1,
        {"task.train_queries": 15, "train.meta_batch_size": 4, "train.outer_steps": 60_000},
    ),
    ("protomaml", "miniimagenet", 5, 5, {"task.train_queries": 15}),
    ("matching", "miniimagenet", 5, 1, {**CHEN, "method.temperature": 0.01, "task.train_ways": 5}),
    (
        "relation",
        "miniimagenet",
        5,
        5,
        {
            "task.train_queries": 10,
            "train.outer_steps": 500_000,
            "train.clip_norm": 0.5,
            "model.name": "conv4_map",
            "evaluate.num_episodes": 600,
        },
    ),
    ("relation", "miniimagenet", 5, 1, {"task.train_queries": 15}),
    ("snail", "fc100", 5, 5, {"method.sequence_length": 26, "model.name": "conv4"}),
    ("baseline", "miniimagenet", 5, 1, {**ADAM_1E3, "train.outer_steps": 400 * 2400}),
    ("baseline", "fc100", 5, 1, {"train.outer_steps": 400 * 2250, "data.augment": True}),
    ("baselinepp", "miniimagenet", 5, 1, {"method.scale": 2.0, "method.batch_size": 16}),
    ("baselinepp", "cub", 5, 1, {"method.scale": 2.0, "train.outer_steps": 200 * 368}),
    ("matching", "cub", 5, 5, {**CHEN, "train.outer_steps": 40_000}),
    ("relation", "cub", 5, 1, {**CHEN, "train.outer_steps": 60_000, "train.clip_norm": None}),
    ("protonet", "cub", 5, 1, {**CHEN, "task.train_ways": 5, "model.width": 64}),
    (
        "maml",
        "cub",
        5,
        5,
        {
            **CHEN,
            "method.inner_lr": 0.01,  # of a mean, as here
            "method.eval_inner_steps": 5,
            "train.meta_batch_size": 4,
            "model.width": 64,
        },
    ),
]


@pytest.mark.parametrize(("method", "data", "ways", "shots", "expected"), CHARACTERS + PHOTOGRAPHS)
def test_recipes_have_the_published_values(
    method: str, data: str, ways: int, shots: int, expected: dict[str, Any]
) -> None:
    sets = [f"method.name={method}", f"data.name={data}", f"task.ways={ways}"]
    tree = META.load(None, [*sets, f"task.shots={shots}"]).model_dump()
    found = {path: tree[path.split(".")[0]][path.split(".")[1]] for path in expected}
    assert found == expected
