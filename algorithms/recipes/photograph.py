"""The published settings of each method on photographs: what differs from characters.

miniImageNet has the settings that most papers give; CIFAR-FS, FC100 and folders follow it. CUB has
those of Chen et al. 2019. ``docs/methods.md`` names the source of each, and what none tells.
"""

from __future__ import annotations

from collections.abc import Callable

from metaray.algorithms.recipes.quick import Recipe

# Photographs, unlike characters, have a way up: no quarter turns as classes.
_UPRIGHT: Recipe = {"data.rotations": "none", "model.name": "conv4"}


def photograph_recipe(method: str, data: str, ways: int, shots: int) -> Recipe:
    """What ``method`` changes for ``data``, a set of photographs."""
    recipe = dict(_UPRIGHT)
    if method in _MINIIMAGENET:
        recipe |= _MINIIMAGENET[method](ways, shots)
    if method in ("baseline", "baselinepp") and data in _EPOCHS:
        recipe["train.outer_steps"] = _EPOCHS[data]
    if data == "cub":
        recipe |= {"model.width": 64, "data.augment": True}
        recipe |= _CUB[method](ways, shots) if method in _CUB else {}
    if data in ("folder", "arrays", "emoji", "fashion_mnist"):  # with few classes, or few of each
        recipe |= {"task.train_ways": ways}
    if data == "folder":
        recipe |= {"data.augment": True}
    return recipe


def _maml(ways: int, shots: int) -> Recipe:
    # Finn et al.: 0.01 times the ways, since our inner loss is a mean; meta-batch 4 or 2
    return {
        "method.inner_lr": 0.01 * ways,
        "method.inner_steps": 5,
        "method.eval_inner_steps": 10,
        "task.train_queries": 15,
        "model.width": 32,
        "train.meta_batch_size": 4 if shots < 5 else 2,
        "train.clip_value": 10.0,
        "train.outer_steps": 60_000,
    }


def _anil(ways: int, shots: int) -> Recipe:
    # the authors' FC100
    return {"task.train_queries": 15, "train.meta_batch_size": 32}


def _reptile(ways: int, shots: int) -> Recipe:
    return {
        "method.inner_lr": 1e-3,
        "method.inner_batch": 10,
        "method.inner_steps": 8,
        "method.eval_inner_batch": 5 if shots < 5 else 15,
        "task.train_shots": 15,
        "model.width": 32,
        "train.outer_steps": 100_000,
    }


def _protonet(ways: int, shots: int) -> Recipe:
    # Snell et al.: 30-way for one shot, 20-way for five
    return {"task.train_ways": 30 if shots < 5 else 20, "task.train_queries": 15}


def _mamlpp(ways: int, shots: int) -> Recipe:
    # the authors' configs: smaller steps, a constant outer rate, 15 of 100 epochs of all losses
    return {
        "method.inner_lr": 0.01,
        "method.multi_step_share": 0.15,
        "task.train_queries": 15,
        "model.width": 48,
        "train.meta_batch_size": 2,
        "train.schedule": "constant",
        "train.clip_value": 10.0,
    }


def _metasgd(ways: int, shots: int) -> Recipe:
    # network and episodes are MAML's
    return {"task.train_queries": 15, "model.width": 32, "train.meta_batch_size": 4}


def _protomaml(ways: int, shots: int) -> Recipe:
    return {"task.train_queries": 15}


def _matching(ways: int, shots: int) -> Recipe:
    # Chen et al., who multiply the cosines by 100
    return _episodes_of_chen(ways, shots) | {"method.temperature": 0.01, "data.augment": True}


def _relation(ways: int, shots: int) -> Recipe:
    return {
        "task.train_queries": 15 if shots == 1 else 10,
        "model.name": "conv4_map",
        "train.outer_steps": 500_000,
        "evaluate.num_episodes": 600,
    }


def _baseline(ways: int, shots: int) -> Recipe:
    return {"data.augment": True}


def _baselinepp(ways: int, shots: int) -> Recipe:
    return {"data.augment": True, "method.scale": 2.0}  # for up to 200 classes


_MINIIMAGENET: dict[str, Callable[[int, int], Recipe]] = {
    "maml": _maml,
    "fomaml": _maml,
    "anil": _anil,
    "reptile": _reptile,
    "protonet": _protonet,
    "mamlpp": _mamlpp,
    "metasgd": _metasgd,
    "protomaml": _protomaml,
    "matching": _matching,
    "relation": _relation,
    "baseline": _baseline,
    "baselinepp": _baselinepp,
}

# Baselines take 400 epochs in batches of 16, on CUB with its 5885 images for training 200
_EPOCHS = {
    "miniimagenet": 400 * 64 * 600 // 16,
    "cifar_fs": 400 * 64 * 600 // 16,
    "fc100": 400 * 60 * 600 // 16,
    "cub": 200 * 368,
}


def _episodes_of_chen(ways: int, shots: int) -> Recipe:
    return {
        "task.train_ways": ways,
        "task.train_queries": 16,
        "train.schedule": "constant",
        "train.outer_steps": 60_000 if shots < 5 else 40_000,
    }


def _maml_of_chen(ways: int, shots: int) -> Recipe:
    # their inner loss is a mean
    return _episodes_of_chen(ways, shots) | {
        "method.inner_lr": 0.01,
        "method.eval_inner_steps": 5,
        "train.meta_batch_size": 4,
        "train.clip_value": None,
    }


def _relation_of_chen(ways: int, shots: int) -> Recipe:
    return _episodes_of_chen(ways, shots) | {"train.clip_norm": None}


_CUB: dict[str, Callable[[int, int], Recipe]] = {
    "maml": _maml_of_chen,
    "fomaml": _maml_of_chen,
    "protonet": _episodes_of_chen,
    "matching": _episodes_of_chen,
    "relation": _relation_of_chen,
}
