"""How fast each group of layers is fine-tuned."""

from __future__ import annotations

from metaray.algorithms.transfer.finetune_config import FinetuneConfig


def layer_rates(config: FinetuneConfig, num_groups: int, progress: float) -> list[float]:
    """The factor of the learning rate of each group, from the input to the head; 0 is frozen.

    Args:
        config: of the job.
        num_groups: groups of layers, the head being the last.
        progress: share of the training that is done.

    >>> layer_rates(FinetuneConfig(strategy="last_blocks", last_blocks=2), 4, 0.0)
    [0.0, 1.0, 1.0, 1.0]
    >>> layer_rates(FinetuneConfig(strategy="discriminative", rate_factor=2.0), 3, 0.0)
    [0.25, 0.5, 1.0]
    >>> layer_rates(FinetuneConfig(strategy="gradual"), 3, 0.2)
    [0.0, 0.0, 1.0]
    >>> layer_rates(FinetuneConfig(strategy="gradual"), 3, 0.3)
    [0.0, 1.0, 1.0]
    """
    from_head = range(num_groups - 1, -1, -1)  # the distance of each group from the head
    if config.strategy == "discriminative":
        return [config.rate_factor**-distance for distance in from_head]
    return [
        float(distance <= _trained_below(config, num_groups, progress)) for distance in from_head
    ]


def _trained_below(config: FinetuneConfig, num_groups: int, progress: float) -> int:
    """How many groups below the head are trained."""
    below = num_groups - 1
    if config.strategy == "head":
        return 0
    if config.strategy == "last_blocks":
        return min(config.last_blocks, below)
    if config.strategy == "gradual":
        return min(int(progress / config.unfreeze_share * below), below)
    return below
