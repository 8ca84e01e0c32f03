"""The search space of each method, by the method's name."""

from __future__ import annotations

from metaray.tune_spaces import anil, fomaml, maml, mann, protonet, reptile, snail
from metaray.tune_spaces.space import Space

SPACES: dict[str, Space] = {
    "maml": maml.SPACE,
    "fomaml": fomaml.SPACE,
    "anil": anil.SPACE,
    "reptile": reptile.SPACE,
    "protonet": protonet.SPACE,
    "mann": mann.SPACE,
    "snail": snail.SPACE,
}
