"""The published settings of each method, as defaults that follow method, data and shape.

A recipe is a flat dict from config path to value. A run's config is built from the class defaults,
then the recipe, then the user's file, then ``--set``; so a user who names only a method and a data
set trains as its paper did. Sources: the papers named in ``registry`` and their authors' code.
"""

from __future__ import annotations

from collections.abc import Callable

from metaray.algorithms.quick_recipes import GLYPHS, Recipe

_SINUSOID: Recipe = {
    "model.name": "mlp",
    "model.width": 40,
    "model.depth": 2,
    "task.ways": 1,
    "task.shots": 10,
    "task.queries": 10,
    "train.meta_batch_size": 25,
    "train.outer_steps": 70_000,
}


def paper_defaults(method: str, data: str, ways: int, shots: int) -> Recipe:
    """The settings under which ``method`` was published for such a task.

    Args:
        method: a name in ``registry.METHODS``.
        data: a data set; drawn characters follow the Omniglot recipe, colour pictures that of
            miniImageNet, ``sinusoid`` its own.
        ways: classes per episode of the test.
        shots: labelled examples per class of the test.
    """
    if data == "sinusoid":
        return _SINUSOID | _SINUSOID_METHOD.get(method, {})
    recipe = _PICTURES[method](ways, shots)
    if data == "glyphs":
        return recipe | GLYPHS[method]
    if data == "omniglot":
        return recipe
    colour = _COLOUR[method](ways, shots) if method in _COLOUR else {}
    return recipe | _UPRIGHT | colour | _COLOUR_SETS.get(data, {}) | _own_folder(data, ways)


def _maml(ways: int, shots: int) -> Recipe:
    # Finn et al.'s step sizes times the ways, since our inner loss is a mean (see maml)
    few = ways <= 5
    return {
        "method.inner_lr": 0.4 * 5 if few else 0.1 * 20,
        "method.inner_steps": 1 if few else 5,
        "method.eval_inner_steps": 3 if few else 5,
        "task.train_queries": shots,
        "data.rotations": "train",
        "model.name": "conv4_strided",
        "train.meta_batch_size": 32 if few else 16,
        "train.meta_lr": 1e-3,
        "train.outer_steps": 60_000,
    }


def _anil(ways: int, shots: int) -> Recipe:
    return _maml(ways, shots) | {
        "method.inner_lr": 0.1,
        "method.inner_steps": 5,
        "method.eval_inner_steps": 10,
        "train.meta_batch_size": 32,
    }


def _reptile(ways: int, shots: int) -> Recipe:
    few = ways <= 5
    return {
        "method.inner_lr": 1e-3 if few else 5e-4,
        "method.inner_batch": 10 if few else 20,
        "method.inner_steps": 5 if few else 10,
        "method.eval_inner_batch": 5 if few else 10,
        "task.train_shots": 10,
        "task.train_queries": 1,
        "data.rotations": "train",
        "model.name": "conv4_strided",
        "train.meta_batch_size": 5,
        "train.shard_size": 1,
        "train.optimizer": "sgd",
        "train.meta_lr": 1.0,
        "train.schedule": "linear",
        "train.outer_steps": 100_000 if few else 200_000,
    }


def _protonet(ways: int, shots: int) -> Recipe:
    return {
        "task.train_ways": 60,
        "task.train_queries": 5,
        "data.rotations": "all",
        "model.name": "conv4",
        "train.meta_batch_size": 1,
        "train.shard_size": 1,
        "train.meta_lr": 1e-3,
        "train.schedule": "step",
        "train.lr_step_every": 2000,
        "train.lr_step_factor": 0.5,
        "train.outer_steps": 20_000,
        "evaluate.batch_norm": "inductive",
        "evaluate.num_episodes": 1000,
    }


def _mamlpp(ways: int, shots: int) -> Recipe:
    return {
        "method.inner_lr": 0.1,
        "method.inner_steps": 5,
        "method.multi_step_share": 0.1,
        "task.train_queries": shots,
        "data.rotations": "train",
        "model.name": "conv4",
        "train.meta_batch_size": 8,
        "train.meta_lr": 1e-3,
        "train.schedule": "cosine",
        "train.min_meta_lr": 1e-5,
        "train.outer_steps": 50_000,
    }


def _metasgd(ways: int, shots: int) -> Recipe:
    # the paper takes over MAML's network and its episodes
    return {
        "method.inner_steps": 1,
        "method.eval_inner_steps": 1,
        "task.train_queries": shots,
        "data.rotations": "train",
        "model.name": "conv4_strided",
        "train.meta_batch_size": 32 if ways <= 5 else 16,
        "train.meta_lr": 1e-3,
        "train.outer_steps": 60_000,
    }


def _protomaml(ways: int, shots: int) -> Recipe:
    # published on ImageNet, with ways and shots that vary; episodes are those of MAML
    return {
        "method.inner_lr": 0.31,
        "method.inner_steps": 6,
        "method.eval_inner_steps": 11,
        "task.train_queries": 10,
        "data.rotations": "train",
        "model.name": "conv4",
        "train.meta_batch_size": 1,
        "train.shard_size": 1,
        "train.meta_lr": 7e-4,
        "train.schedule": "step",
        "train.lr_step_every": 5000,
        "train.lr_step_factor": 0.64,
        "train.outer_steps": 75_000,
    }


def _matching(ways: int, shots: int) -> Recipe:
    # the paper says how it trains but for the optimizer and the queries: those of _protonet
    return _protonet(ways, shots) | {"task.train_ways": ways}


def _relation(ways: int, shots: int) -> Recipe:
    one_shot, more = (19, 15) if ways <= 5 else (10, 5)
    return {
        "task.train_queries": one_shot if shots == 1 else more,
        "data.rotations": "all",
        "model.name": "conv4_map",
        "train.meta_batch_size": 1,
        "train.shard_size": 1,
        "train.meta_lr": 1e-3,
        "train.schedule": "step",
        "train.lr_step_every": 100_000,
        "train.lr_step_factor": 0.5,
        "train.clip_norm": 0.5,
        "train.outer_steps": 1_000_000,
        "evaluate.batch_norm": "transductive",
        "evaluate.num_episodes": 1000,
    }


def _siamese(ways: int, shots: int) -> Recipe:
    # Koch et al. train on pairs from anywhere: many ways come closest
    return _protonet(ways, shots) | {"task.train_ways": 20}


def _mann(ways: int, shots: int) -> Recipe:
    return {
        "data.rotations": "train",
        "model.name": "conv4_strided",
        "train.meta_batch_size": 16,
        "train.meta_lr": 1e-4,
        "train.outer_steps": 100_000,
        "evaluate.batch_norm": "inductive",
    }


def _snail(ways: int, shots: int) -> Recipe:
    return {
        "method.sequence_length": ways * shots + 1,
        "task.train_queries": 1,
        "data.rotations": "train",
        "model.name": "conv4",
        "train.meta_batch_size": 32,
        "train.meta_lr": 1e-4,
        "train.outer_steps": 100_000,
        "evaluate.batch_norm": "inductive",
    }


def _baseline(ways: int, shots: int) -> Recipe:
    return {
        "data.rotations": "train",
        "model.name": "conv4",
        "train.meta_batch_size": 1,
        "train.shard_size": 1,
        "train.meta_lr": 1e-3,
        "train.outer_steps": 25_000,  # about five epochs, as the authors' code takes on Omniglot
        "train.validate_every": 1000,
        "evaluate.batch_norm": "inductive",
    }


def _baselinepp(ways: int, shots: int) -> Recipe:
    return _baseline(ways, shots) | {"method.scale": 10.0}  # for more than 200 classes


_PICTURES: dict[str, Callable[[int, int], Recipe]] = {
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
    "siamese": _siamese,
    "mann": _mann,
    "snail": _snail,
    "baseline": _baseline,
    "baselinepp": _baselinepp,
}

# Photographs, unlike characters, have a way up: no quarter turns as classes.
_UPRIGHT: Recipe = {"data.rotations": "none", "model.name": "conv4"}


def _colour_maml(ways: int, shots: int) -> Recipe:
    # Finn et al.: 0.01 times the ways, as above; meta-batch 4 for one shot, 2 for five
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


def _colour_anil(ways: int, shots: int) -> Recipe:
    # the authors' FC100
    return {"task.train_queries": 15, "train.meta_batch_size": 32}


def _colour_reptile(ways: int, shots: int) -> Recipe:
    # Nichol et al., miniImageNet
    return {
        "method.inner_lr": 1e-3,
        "method.inner_batch": 10,
        "method.inner_steps": 8,
        "method.eval_inner_batch": 5 if shots < 5 else 15,
        "task.train_shots": 15,
        "model.width": 32,
        "train.outer_steps": 100_000,
    }


def _colour_protonet(ways: int, shots: int) -> Recipe:
    # Snell et al., miniImageNet: 30-way for one shot, 20-way for five
    return {"task.train_ways": 30 if shots < 5 else 20, "task.train_queries": 15}


_COLOUR: dict[str, Callable[[int, int], Recipe]] = {
    "maml": _colour_maml,
    "fomaml": _colour_maml,
    "anil": _colour_anil,
    "reptile": _colour_reptile,
    "protonet": _colour_protonet,
}
# Chen et al. 2019 on CUB: wide networks under augmentation
_COLOUR_SETS: dict[str, Recipe] = {"cub": {"model.width": 64, "data.augment": True}}


def _own_folder(data: str, ways: int) -> Recipe:
    """A set of one's own may have few classes: training takes no more ways than the test."""
    if data == "arrays":
        return {"task.train_ways": ways}
    return {"task.train_ways": ways, "data.augment": True} if data == "folder" else {}


_SINUSOID_MAML: Recipe = {
    "method.inner_lr": 0.01,
    "method.inner_steps": 1,
    "method.eval_inner_steps": 10,
    "train.meta_lr": 1e-3,
}
_SINUSOID_METHOD: dict[str, Recipe] = {
    "maml": _SINUSOID_MAML,
    "fomaml": _SINUSOID_MAML,
    "anil": _SINUSOID_MAML | {"method.inner_steps": 5},
    "mamlpp": {"method.inner_lr": 0.01, "train.meta_lr": 1e-3, "train.schedule": "cosine"},
    "metasgd": {"train.meta_lr": 1e-3},
    "reptile": {
        "method.inner_optimizer": "sgd",
        "method.inner_lr": 0.02,
        "method.inner_steps": 5,
        "method.eval_inner_steps": 32,
        "method.eval_inner_batch": 10,
        "train.optimizer": "sgd",
        "train.meta_lr": 0.1,
        "train.meta_batch_size": 5,
        "train.schedule": "linear",
    },
    "mann": {"train.meta_lr": 1e-3},
    "snail": {"train.meta_lr": 1e-3, "method.sequence_length": 11},
}
