"""The search space of each method, by the method's name."""

from __future__ import annotations

from metaray.tune_spaces import (
    anil,
    baseline,
    baselinepp,
    fomaml,
    maml,
    mamlpp,
    mann,
    matching,
    metasgd,
    protomaml,
    protonet,
    relation,
    reptile,
    siamese,
    snail,
)
from metaray.tune_spaces.space import Space

SPACES: dict[str, Space] = {
    "maml": maml.SPACE,
    "fomaml": fomaml.SPACE,
    "anil": anil.SPACE,
    "reptile": reptile.SPACE,
    "protonet": protonet.SPACE,
    "mamlpp": mamlpp.SPACE,
    "metasgd": metasgd.SPACE,
    "protomaml": protomaml.SPACE,
    "matching": matching.SPACE,
    "relation": relation.SPACE,
    "siamese": siamese.SPACE,
    "mann": mann.SPACE,
    "snail": snail.SPACE,
    "baseline": baseline.SPACE,
    "baselinepp": baselinepp.SPACE,
}
