"""An external memory with least-recently-used access (Santoro et al. 2016, section 3.2).

Each of R heads comes with a key. In this order, one step

* erases the R least used slots, and gives one of them to each head,
* writes each key to the slots that its head read last and to its least used slot; a gate
  interpolates between the two,
* reads by cosine similarity to the keys,
* updates usage, which decays and grows with each read and write.

Deviations: a head's similarities are multiplied by a key strength before the softmax, as in the
Neural Turing Machine (Graves et al. 2014, equation 5) of which this memory is a variant. Without it
no slot of 128 could have more than 6 % of a read. And a row that is much shorter than 0.1 resembles
nothing: every read leaves a trace of weight on all slots, where an open gate writes next, so that
blank rows become faint copies of a key. The cosine, which knows no length, would take them for it
and spread that head's reads over the whole memory.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_FAINT = 0.1  # length at which a row loses 3 dB of its similarity


class Memory(NamedTuple):
    """A memory of ``slots`` rows between two steps."""

    rows: Tensor  # [slots, width]
    usage: Tensor  # [slots]
    read_weights: Tensor  # [R, slots], of the last read


def blank_memory(slots: int, width: int, heads: int, like: Tensor) -> Memory:
    """A memory in which nothing was written, of the type and device of ``like``."""
    return Memory(like.new_zeros(slots, width), like.new_zeros(slots), like.new_zeros(heads, slots))


def access(
    memory: Memory, keys: Tensor, strengths: Tensor, gates: Tensor, decay: float
) -> tuple[Memory, Tensor]:
    """Write, then read.

    Args:
        memory: as the last step left it.
        keys: ``[R, width]``, both written and compared.
        strengths: ``[R]``, at least 0: sharpness of each head's read.
        gates: ``[R]`` in 0..1: 1 writes where the head read last, 0 to its least used slot.
        decay: share of the usage that is left after a step.

    Returns:
        The memory after the step, and what was read, ``[R, width]``.
    """
    free = least_used(memory.usage, keys.shape[0])
    write_weights = gates[:, None] * memory.read_weights + (1 - gates[:, None]) * free
    rows = memory.rows * (1 - free.sum(0))[:, None] + write_weights.T @ keys
    similarity = _unit(keys) @ _unit(rows).T
    read_weights = (strengths[:, None] * similarity).softmax(-1)
    usage = decay * memory.usage + read_weights.sum(0) + write_weights.sum(0)
    return Memory(rows, usage, read_weights), read_weights @ rows


def least_used(usage: Tensor, heads: int) -> Tensor:
    """One slot for each head, the least used first: one-hot rows ``[heads, slots]``."""
    slots = usage.topk(heads, largest=False).indices
    return (slots[:, None] == torch.arange(len(usage), device=usage.device)).to(usage.dtype)


def _unit(rows: Tensor) -> Tensor:
    """Rows of length 1, but for faint ones, whose length is theirs in units of ``_FAINT``."""
    return rows * torch.rsqrt(rows.square().sum(-1, keepdim=True) + _FAINT**2)
