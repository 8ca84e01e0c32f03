"""The search space of each method and of each transfer job, by its name."""

from __future__ import annotations

from metaray.algorithms.configs import NamedSection
from metaray.algorithms.errors import InputError
from metaray.tune_spaces import (
    anil,
    baseline,
    baselinepp,
    caml,
    dann,
    distill,
    finetune,
    fomaml,
    imaml,
    knn,
    laplacianshot,
    lda,
    logistic,
    maml,
    mamlpp,
    mann,
    matching,
    metasgd,
    moco,
    nearest_mean,
    protomaml,
    protonet,
    pt_map,
    relation,
    reptile,
    ridge,
    siamese,
    simclr,
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
    "imaml": imaml.SPACE,
    "protomaml": protomaml.SPACE,
    "matching": matching.SPACE,
    "relation": relation.SPACE,
    "siamese": siamese.SPACE,
    "mann": mann.SPACE,
    "snail": snail.SPACE,
    "caml": caml.SPACE,
    "baseline": baseline.SPACE,
    "baselinepp": baselinepp.SPACE,
    "nearest_mean": nearest_mean.SPACE,
    "knn": knn.SPACE,
    "logistic": logistic.SPACE,
    "ridge": ridge.SPACE,
    "lda": lda.SPACE,
    "pt_map": pt_map.SPACE,
    "laplacianshot": laplacianshot.SPACE,
}

JOB_SPACES: dict[str, Space] = {
    "finetune": finetune.SPACE,
    "dann": dann.SPACE,
    "distill": distill.SPACE,
    "simclr": simclr.SPACE,
    "moco": moco.SPACE,
}


def space_of(section: NamedSection) -> Space:
    """The search space of a method or transfer job: ours, or the one that its plug-in offers.

    Raises:
        InputError: the plug-in offers none.
    """
    space = SPACES.get(section.name) or JOB_SPACES.get(section.name) or dict(section.search_space)
    if not space:
        raise InputError(f"{section.label} offers no search space: give one with --space")
    return space
