"""The state of a meta-training: its first checkpoint, what it means, and how it travels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.episode_shape import BatchSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.config.meta import RunConfig
from metaray.platform.run.checkpoint import Checkpoint, shapes_text
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import FlatState
from metaray.platform.training.pretrained import PretrainedEncoder, Provenance

_BATCH, _BATCHES = 64, 16


def pretrained_state(blueprint: Blueprint) -> tuple[Checkpoint, Provenance] | None:
    """The state of step 0 and where it came from, if ``init.checkpoint`` is set.

    What the method has beside the encoder (a head, step sizes) starts as always. A method that has
    a copy of a parameter for each inner step starts each from that of the encoder.

    Raises:
        InputError: the encoder is that of another network; layers are named.
    """
    config, source = blueprint.config, blueprint.source
    if config.init.checkpoint is None:
        return None
    network = PretrainedEncoder.read(Path(config.init.checkpoint))
    encoder, origin = network.encoder(blueprint.algorithm.backbone, _images(config, source))
    fresh = blueprint.initial
    state = State(
        _replaced(fresh.params, encoder.params), _replaced(fresh.buffers, encoder.buffers)
    )
    params, buffers = (
        layout.flatten(part) for layout, part in zip(blueprint.layouts, state, strict=True)
    )
    return Checkpoint(step=0, tensors={"params": params, "buffers": buffers}), origin


def fingerprint(blueprint: Blueprint) -> str:
    """What the flat vectors of a run mean: method, number type, names and shapes."""
    dtype = str(blueprint.dtype).removeprefix("torch.")
    return shapes_text(f"{blueprint.config.method.name} {dtype}", *blueprint.layouts)


def flat_state(checkpoint: Checkpoint) -> FlatState:
    """Parameters and buffers of ``checkpoint`` as they travel."""
    return np.concatenate([checkpoint.tensors[name].numpy() for name in ("params", "buffers")])


def _replaced(fresh: Tensors, found: Tensors) -> Tensors:
    """``fresh`` with the tensors of ``found`` under their names."""
    result = dict(fresh)
    for name in fresh.keys() & found.keys():
        wanted, value = fresh[name].shape, found[name]
        if wanted[len(wanted) - value.ndim :] != value.shape:
            raise InputError(
                f"{name} of the encoder is {list(value.shape)}, the method has {list(wanted)}: "
                "start another method from it"
            )
        result[name] = value.to(fresh[name].dtype).expand(wanted).clone()
    return result


def _images(config: RunConfig, source: EpisodeSource) -> Iterator[Tensor]:
    for index in range(_BATCHES):
        spec = BatchSpec(split="train", index=index, seed=config.seed, size=_BATCH)
        yield source.sample_batch(spec).query_x
