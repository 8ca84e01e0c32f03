"""Jobs to compare with: what the obvious alternative reaches under the same budget."""

from __future__ import annotations

from metaray.platform.config_io import Tree, validate_as
from metaray.platform.transfer.config import TransferConfig

MEANINGS = {
    "scratch": "the same network, trained from a random start",
    "head": "a linear classifier on the frozen start (linear probe)",
    "source_only": "the same network, without adaptation",
    "target_supervised": "trained on the labels of the target, which the job may not see",
    "alone": "the same network, trained on the labels without a teacher",
    "supervised": "the same network, trained on the labels",
}


def reference_config(config: TransferConfig, name: str) -> TransferConfig:
    """The job ``name`` in comparison with ``config``: same network, data, budget and seed."""
    tree = config.model_dump()
    tree["evaluate"] = tree["evaluate"] | {"references": ()}
    changes: dict[str, Tree] = {
        "scratch": {
            "job": {"name": "finetune"},
            "init": {"checkpoint": None},
            "model": tree["model"] | {"weights": None},
        },
        "head": {"job": {"name": "finetune", "strategy": "head"}},
        "source_only": {"job": _without_adaptation(tree)},
        "target_supervised": _on_target(config, tree),
        "alone": {"job": {"name": "finetune"}},
        "supervised": {"job": {"name": "finetune"}},
    }
    return validate_as(TransferConfig, tree | changes[name])


def _without_adaptation(tree: Tree) -> Tree:
    """A job that adapts, reduced to its training on the source."""
    kept = {key: tree["job"][key] for key in ("name", "label_hidden") if key in tree["job"]}
    return kept | {"adaptation": "none"}


def _on_target(config: TransferConfig, tree: Tree) -> Tree:
    """The same classifier, trained where it is tested."""
    if config.target is None:
        return {}
    target = config.tested.model_dump()
    job = tree["job"] if config.job.name == "finetune" else _without_adaptation(tree)
    return {"data": target, "target": None if config.job.name == "finetune" else target, "job": job}
