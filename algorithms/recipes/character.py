"""The published settings of each method on characters (Omniglot).

Sources: the papers and their authors' code, or the reference code that ``docs/methods.md`` names.
"""

from __future__ import annotations

from collections.abc import Callable

from metaray.algorithms.recipes.quick import HEADS, Recipe


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
    # the authors' configs ask for one query of each class, for any number of shots
    return {
        "method.inner_lr": 0.1,
        "method.inner_steps": 5,
        "method.multi_step_share": 0.1,
        "task.train_queries": 1,
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


def _imaml(ways: int, shots: int) -> Recipe:
    # the paper takes over MAML's network and its episodes; the rest is of the authors' example
    steps = 16 if ways <= 5 else 25
    return {
        "method.inner_steps": steps,
        "method.eval_inner_steps": steps,
        "task.train_queries": shots,
        "data.rotations": "train",
        "model.name": "conv4_strided",
        "train.meta_batch_size": 32 if ways <= 5 else 16,
        "train.meta_lr": 1e-3,
        "train.outer_steps": 20_000,
    }


def _protomaml(ways: int, shots: int) -> Recipe:
    # published on ImageNet from scratch, with ways and shots that vary and up to 10 queries; batch
    # norm takes the statistics of the support set for the queries, in training and in the test
    return {
        "method.inner_lr": 0.311,
        "method.inner_steps": 6,
        "method.eval_inner_steps": 11,
        "method.train_batch_norm": "inductive",
        "task.train_queries": 10,
        "data.rotations": "train",
        "model.name": "conv4",
        "train.meta_batch_size": 1,
        "train.shard_size": 1,
        "train.meta_lr": 7.2e-4,
        "train.schedule": "step",
        "train.lr_step_every": 5000,
        "train.lr_step_factor": 0.643,
        "train.outer_steps": 75_000,
        "evaluate.batch_norm": "inductive",
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
    # Adam at ten times the paper's rate of RMSProp, whose momentum of 0.9 makes as much of it;
    # group norm as for _snail
    return {
        "data.rotations": "train",
        "model.name": "conv4_strided",
        "model.norm": "group",
        "train.meta_batch_size": 16,
        "train.meta_lr": 1e-3,
        "train.outer_steps": 100_000,
        "evaluate.batch_norm": "inductive",
    }


def _snail(ways: int, shots: int) -> Recipe:
    # the paper's batch norm spans the episodes of a step; one episode of few ways has its own
    # statistics, on which the reader of the sequence comes to rely (docs/results.md)
    return {
        "method.sequence_length": ways * shots + 1,
        "task.train_queries": 1,
        "data.rotations": "train",
        "model.name": "conv4",
        "model.norm": "group",
        "train.meta_batch_size": 32,
        "train.meta_lr": 1e-4,
        "train.outer_steps": 100_000,
        "evaluate.batch_norm": "inductive",
    }


def _caml(ways: int, shots: int) -> Recipe:
    # published on frozen features of photographs alone; the episodes are those of _snail
    return {
        "task.train_queries": 5,
        "data.rotations": "train",
        "model.name": "conv4",
        "model.norm": "group",
        "train.meta_batch_size": 8,
        "train.meta_lr": 3e-4,
        "train.warmup": 0.05,
        "train.schedule": "cosine",
        "train.clip_norm": 1.0,
        "train.outer_steps": 20_000,
        "evaluate.batch_norm": "inductive",
    }


def _baseline(ways: int, shots: int) -> Recipe:
    return {
        "data.rotations": "train",
        "model.name": "conv4",
        "train.meta_batch_size": 1,
        "train.shard_size": 1,
        "train.meta_lr": 1e-3,
        "train.outer_steps": 25_700,  # five epochs of 20 images of 4112 classes
        "train.validate_every": 1000,
        "evaluate.batch_norm": "inductive",
    }


def _baselinepp(ways: int, shots: int) -> Recipe:
    return _baseline(ways, shots) | {"method.scale": 10.0}  # for more than 200 classes


def _head(ways: int, shots: int) -> Recipe:
    # papers fit heads to features that are frozen: there is no training here
    return {
        "model.name": "conv4",
        "train.outer_steps": 0,
        "evaluate.batch_norm": "inductive",
    }


CHARACTERS: dict[str, Callable[[int, int], Recipe]] = {
    "maml": _maml,
    "fomaml": _maml,
    "anil": _anil,
    "reptile": _reptile,
    "protonet": _protonet,
    "mamlpp": _mamlpp,
    "metasgd": _metasgd,
    "imaml": _imaml,
    "protomaml": _protomaml,
    "matching": _matching,
    "relation": _relation,
    "siamese": _siamese,
    "mann": _mann,
    "snail": _snail,
    "caml": _caml,
    "baseline": _baseline,
    "baselinepp": _baselinepp,
    **dict.fromkeys(HEADS, _head),
}
