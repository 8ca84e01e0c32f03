"""The command that does a transfer job again."""

from __future__ import annotations

from typing import Any

from metaray.platform.config.commands import set_options, settings_for
from metaray.platform.config.loading import changed_keys
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.config.transfer_loading import resolve_transfer


def own_settings(config: TransferConfig) -> list[str]:
    """Settings in which a job differs from the defaults of its kind."""
    tree: dict[str, Any] = {"job": {"name": config.job.name}, "data": {"name": config.data.name}}
    if config.target is not None:
        tree["target"] = {"name": config.target.name}
    if config.job.needs_target and config.target is None:
        return []
    changed = changed_keys(resolve_transfer(tree, {}), config)
    # where steps are set, epochs have no effect
    return [key for key in changed if key != "train.epochs" or config.train.steps is None]


def train_command(config: TransferConfig, own: list[str]) -> list[str]:
    """``metaray transfer`` with every setting that this job needs, one argument an item."""
    names = ["job.name", "data.name", *(["target.name"] if config.target else [])]
    settings = settings_for(
        config, dict.fromkeys([*names, *own]), lambda user: resolve_transfer(user, {})
    )
    settings.pop("job.name")  # the command has it
    return [f"metaray transfer {config.job.name}", *set_options(settings)]
