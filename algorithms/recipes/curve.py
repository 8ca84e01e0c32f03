"""The published settings of each method on curves (``sinusoid``)."""

from __future__ import annotations

from metaray.algorithms.recipes.quick import Recipe

_ALL: Recipe = {
    "model.name": "mlp",
    "model.width": 40,
    "model.depth": 2,
    "task.ways": 1,
    "task.shots": 10,
    "task.queries": 10,
    "train.meta_batch_size": 25,
    "train.outer_steps": 70_000,
}
_MAML: Recipe = {
    "method.inner_lr": 0.01,
    "method.inner_steps": 1,
    "method.eval_inner_steps": 10,
    "train.meta_lr": 1e-3,
}
_OF_METHOD: dict[str, Recipe] = {
    "maml": _MAML,
    "fomaml": _MAML,
    "anil": _MAML | {"method.inner_steps": 5},
    "mamlpp": {"method.inner_lr": 0.01, "train.meta_lr": 1e-3, "train.schedule": "cosine"},
    "metasgd": {"data.frequencies": (0.8, 1.2), "train.meta_lr": 1e-3},
    "imaml": {"method.inner_lr": 0.01, "method.inner_steps": 10, "method.eval_inner_steps": 10}
    | {"train.meta_lr": 1e-3},
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


def curve_recipe(method: str) -> Recipe:
    """Finn et al. 2017, section 5.1, and what ``method`` differs in.

    Li et al. 2017 (Meta-SGD) vary the frequency of the curves, too.
    """
    return _ALL | _OF_METHOD.get(method, {})
