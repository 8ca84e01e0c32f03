"""The frozen encoder of an embedding: that of a run, or a network of torchvision with weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.models.registry import MODELS
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.paths import user_path
from metaray.platform.config.loading import validate_section
from metaray.platform.config.tree import Tree
from metaray.platform.training.pretrained import PretrainedEncoder

_TORCHVISION = "torchvision:"
_OF_IMAGENET: Tree = {"image_size": 224, "channels": 3}

Images = Iterable[Tensor]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A network and its tensors."""

    model: ModelConfig
    """without weights"""
    state: State
    """of the backbone alone, with the statistics to normalise by"""
    origin: dict[str, Any]
    """where it comes from"""

    def as_json(self) -> dict[str, Any]:
        """What it is, for the record of what it computed."""
        return {
            **self.origin,
            "model": self.model.model_dump(exclude_defaults=True) | {"name": self.model.name},
            "weights_sha256": _sha256(self.state.params | self.state.buffers),
        }


@dataclass(frozen=True, kw_only=True)
class EncoderSource:
    """What an encoder is read from, before the shape of the images is known."""

    images: Tree
    """size and channels of the images that it was trained on, as settings of ``data``"""
    read: Callable[[tuple[int, ...], Images], Encoder]
    """the encoder for inputs of this shape; the images are for statistics that a run kept none of,
    batches ``[B, C, H, W]`` of one size"""


def encoder_source(name: str, weights: str | None) -> EncoderSource:
    """That of a run's folder or checkpoint, or of ``torchvision:ARCH`` with a file of weights.

    Raises:
        InputError: there is no such run, or weights are missing or have no effect.
    """
    if name.startswith(_TORCHVISION):
        return _torchvision(name, weights)
    if weights is not None:
        raise InputError(
            f"--weights has no effect on the run {name}, which has its own: leave it out, or name "
            "a network as torchvision:resnet18"
        )
    network = PretrainedEncoder.read(user_path(name))

    def read(input_shape: tuple[int, ...], images: Images) -> Encoder:
        state, origin = network.encoder(build_backbone(network.model, input_shape), images)
        found = {
            "name": network.run.path.name,
            "trained_by": origin.trained_by,
            "step": origin.step,
            "params_sha256": origin.params_sha256,
            "statistics": origin.statistics,
            "trained_on_sha256": network.content_sha256,
        }
        return Encoder(model=network.model, state=state, origin=found)

    if len(network.input_shape) != 3:
        raise InputError(
            f"{name} was trained on inputs of shape {list(network.input_shape)}, and only images "
            "can be embedded: give a run on images"
        )
    return EncoderSource(images=network.settings()["data"], read=read)


def _torchvision(name: str, weights: str | None) -> EncoderSource:
    if weights is None:
        raise InputError(
            f"{name} has no weights: give a file with --weights, or --weights download for "
            "torchvision's own"
        )
    arch = name.removeprefix(_TORCHVISION)
    tree = {"name": "torchvision", "arch": arch, "weights": weights}
    model = validate_section(MODELS, tree)

    def read(input_shape: tuple[int, ...], images: Images) -> Encoder:
        params, statistics = build_backbone(model, input_shape).init(torch.Generator())
        return Encoder(
            model=model.model_copy(update={"weights": None}),
            state=State(params, statistics),
            origin={"name": name},
        )

    return EncoderSource(images=_OF_IMAGENET, read=read)


def _sha256(tensors: Tensors) -> str:
    """Of names, shapes and values."""
    digest = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
