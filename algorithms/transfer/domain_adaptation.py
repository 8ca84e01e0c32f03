"""The forms of domain adaptation by their name in the config."""

from __future__ import annotations

from metaray.algorithms.transfer.alignment import Alignment
from metaray.algorithms.transfer.dann import DANN
from metaray.algorithms.transfer.domain_adaptation_config import DANNConfig
from metaray.algorithms.transfer.objective import Networks
from metaray.algorithms.transfer.source_only import SourceOnly

_CLASSES: dict[str, type[SourceOnly]] = {
    "dann": DANN,
    "coral": Alignment,
    "mmd": Alignment,
    "none": SourceOnly,
}


def domain_adaptation(config: DANNConfig, networks: Networks) -> SourceOnly:
    """The objective of ``config.adaptation`` over ``networks``."""
    return _CLASSES[config.adaptation](config, networks)
