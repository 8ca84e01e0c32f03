"""Parameters and buffers as the content of a safetensors file. Reading it executes no code."""

from __future__ import annotations

import safetensors.torch
from torch import Tensor

from metaray.algorithms.algorithm import State


def to_bytes(state: State) -> bytes:
    """The same bytes for the same state."""
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, named in state._asdict().items()
        for name, tensor in named.items()
    }
    return safetensors.torch.save(tensors, metadata={"format": "pt"})


def from_bytes(content: bytes) -> State:
    """What ``to_bytes`` wrote; ValueError or SafetensorError for anything else."""
    parts: dict[str, dict[str, Tensor]] = {"params": {}, "buffers": {}}
    for key, tensor in safetensors.torch.load(content).items():
        part, _, name = key.partition(".")
        if part not in parts:
            raise ValueError(f"it holds {key}, which is no part of a model")
        parts[part][name] = tensor
    return State(**parts)
