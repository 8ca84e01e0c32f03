"""Jobs to compare with: what the obvious alternative reaches with as many images.

A reference that is the same training less something (adaptation, the teacher) has the job's own
settings. One that trains otherwise has settings that are known to suit it, not those of the job. It
sees as many images in all.
"""

from __future__ import annotations

from typing import Any

from metaray.algorithms.transfer.recipes import FROM_SCRATCH, LINEAR_PROBE, SUPERVISED, Recipe
from metaray.platform.config.loading import validate_as
from metaray.platform.config.transfer import TransferConfig, TransferTrainConfig
from metaray.platform.config.tree import Tree, put


def reference_config(config: TransferConfig, name: str, steps: int, batch: int) -> TransferConfig:
    """The job ``name`` in comparison with ``config``: same network, data, seed and budget.

    ``steps`` and ``batch`` are those that the job itself comes to.
    """
    tree = config.model_dump()
    tree["evaluate"] = tree["evaluate"] | {"references": ()}
    tree["train"] = tree["train"] | {"steps": steps, "epochs": _default("epochs")}
    changes: dict[str, Tree] = {
        "scratch": {
            "job": _finetuning(config),
            "init": {"checkpoint": None},
            "model": tree["model"] | {"weights": None},
        }
        | _own_training(config, FROM_SCRATCH, steps, batch),
        "head": {"job": {"name": "finetune", "strategy": "head"}}
        | _own_training(config, LINEAR_PROBE, steps, batch),
        "source_only": {"job": _without_adaptation(tree)},
        "target_supervised": _on_target(config, tree),
        "alone": {"job": _finetuning(config)},
        "supervised": {"job": {"name": "finetune", "augment": True}}
        | _own_training(config, SUPERVISED if _starts(config) else FROM_SCRATCH, steps, batch),
    }
    return validate_as(TransferConfig, tree | changes[name])


def training_text(config: TransferConfig) -> str:
    """How a reference was trained, in words."""
    train = config.train
    return (
        f"{train.steps:,} steps of {train.batch_size}, {train.optimizer} with a {train.schedule} "
        f"rate of {train.lr:g} and weight decay {train.weight_decay:g}"
    )


def _own_training(config: TransferConfig, recipe: Recipe, steps: int, batch: int) -> Tree:
    """By ``recipe``, with as many images; the best weights on validation are tested."""
    tree: Tree = {}
    for path, value in recipe.items():
        put(tree, path, value)
    kept = {key: getattr(config.train, key) for key in ("checkpoint_every", "keep_checkpoints")}
    size = min(batch, _default("batch_size"))
    kept |= {"batch_size": size, "steps": round(steps * batch / size)}
    tree["train"] = tree["train"] | kept
    tree["evaluate"] = {"batch_size": config.evaluate.batch_size}
    return tree


def _default(key: str) -> Any:
    return TransferTrainConfig.model_fields[key].default


def _starts(config: TransferConfig) -> bool:
    """Whether the network starts from trained weights."""
    return bool(config.init.checkpoint or config.model.weights)


def _finetuning(config: TransferConfig) -> Tree:
    """Plain fine-tuning that augments and drops as the job does."""
    own = config.job.model_dump()
    kept = {key: own[key] for key in ("augment", "dropout") if key in own}
    return {"name": "finetune"} | kept


def _without_adaptation(tree: Tree) -> Tree:
    """A job that adapts, reduced to its training on the source."""
    kept = ("name", "label_hidden", "target_classes")
    return {key: tree["job"][key] for key in kept if key in tree["job"]} | {"adaptation": "none"}


def _on_target(config: TransferConfig, tree: Tree) -> Tree:
    """The same classifier, trained where it is tested."""
    if config.target is None:
        return {}
    target = config.target.like(config.data).model_dump()
    job = tree["job"] if config.job.name == "finetune" else _without_adaptation(tree)
    return {"data": target, "target": None if config.job.name == "finetune" else target, "job": job}
