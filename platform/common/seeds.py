"""Seeds for each purpose from the one in the config."""

from __future__ import annotations

import numpy as np

_INITIAL_PARAMETERS = 1_000  # apart from the split codes that episodes use as their first key


def initial_parameters_seed(root: int) -> int:
    """The seed of the fresh network of a run."""
    sequence = np.random.SeedSequence(root, spawn_key=(_INITIAL_PARAMETERS,))
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)  # torch takes signed 64 bits
