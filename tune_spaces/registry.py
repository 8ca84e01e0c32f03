"""The search space of each method, by the method's name."""

from __future__ import annotations

from metaray.tune_spaces import anil, baseline, baselinepp, fomaml, maml, protonet, reptile
from metaray.tune_spaces.space import Space

SPACES: dict[str, Space] = {
    "maml": maml.SPACE,
    "fomaml": fomaml.SPACE,
    "anil": anil.SPACE,
    "reptile": reptile.SPACE,
    "protonet": protonet.SPACE,
    "baseline": baseline.SPACE,
    "baselinepp": baselinepp.SPACE,
}
