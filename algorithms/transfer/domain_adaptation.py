"""The forms of domain adaptation by their name in the config."""

from __future__ import annotations

from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.transfer.alignment import Alignment
from metaray.algorithms.transfer.dann import DANN
from metaray.algorithms.transfer.objective import Transform
from metaray.algorithms.transfer.objective_configs import DANNConfig
from metaray.algorithms.transfer.source_only import SourceOnly

_CLASSES: dict[str, type[SourceOnly]] = {
    "dann": DANN,
    "coral": Alignment,
    "mmd": Alignment,
    "none": SourceOnly,
}


def build_domain_adaptation(
    backbone: Backbone, num_classes: int, config: DANNConfig, transform: Transform | None = None
) -> SourceOnly:
    """The objective of ``config.adaptation``, with ``transform`` for the pictures of training."""
    return _CLASSES[config.adaptation](backbone, num_classes, config, transform)
