"""The frozen encoder of an embedding: that of a run, or of torchvision or timm with weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.models.registry import MODELS
from metaray.algorithms.models.timm_backbone import timm_image_size
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.paths import user_path
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.platform.config.loading import read_config_tree, validate_section
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.config.tree import Tree
from metaray.platform.run.provenance import DataRecord
from metaray.platform.training.device import choose_device, prepare_process
from metaray.platform.training.pretrained import PretrainedEncoder

_PACKAGES = "torchvision:", "timm:"
_IMAGENET = 224  # pixels

Images = Iterable[Tensor]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A network and its tensors."""

    build: Callable[[], Backbone]
    """the network, whose tensors are not; can be pickled"""
    state: State
    """of the backbone alone, with the statistics to normalise by"""
    origin: dict[str, Any]
    """what it is and where it comes from"""

    def as_json(self) -> dict[str, Any]:
        """What it is, for the record of what it computed."""
        return {
            **self.origin,
            "weights_sha256": self.weights_sha256,
        }

    @cached_property
    def weights_sha256(self) -> str:
        """The hash of names, shapes and values of all tensors."""
        return _sha256(self.state.params | self.state.buffers)


@contextmanager
def computing(compute: ComputeConfig) -> Iterator[torch.device]:
    """The device on which encoders compute, by as many threads as ``compute`` says."""
    threads = torch.get_num_threads()
    prepare_process(compute)
    try:
        yield choose_device(compute)
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def features_of(backbone: Backbone, state: State, x: Tensor) -> Tensor:
    """Features ``[B, F]`` of inputs ``[B, C, H, W]``, float32 on the CPU.

    Raises:
        InputError: one of them is infinite or NaN.
    """
    features = backbone.apply(state.params, x, state.buffers)[0].float().cpu()
    if not torch.isfinite(features).all():
        raise InputError(
            "the encoder gives features that are not finite: give other weights, or such images "
            "as those of its training"
        )
    return features


@dataclass(frozen=True, kw_only=True)
class EncoderSource:
    """What an encoder is read from, before the shape of the images is known."""

    images: Tree
    """size and channels of the images that it was trained on, as settings of ``data``"""
    preprocessing: Preprocessing
    """from a picture as people have it to an input"""
    read: Callable[[tuple[int, ...], Images], Encoder]
    """the encoder for inputs of this shape; the images are for statistics that a run kept none of,
    batches ``[B, C, H, W]`` of one size"""


def encoder_source(name: str, weights: str | None) -> EncoderSource:
    """That of a run, or of ``torchvision:ARCH`` or ``timm:ARCH`` with a file of weights.

    Raises:
        InputError: there is no such run, or weights are missing or have no effect.
    """
    if name.startswith(_PACKAGES):
        return _network(name, weights)
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
            "model": _settings(network.model),
        }
        build = partial(build_backbone, network.model, input_shape)
        return Encoder(build=build, state=state, origin=found)

    if len(network.input_shape) != 3:
        raise InputError(
            f"{name} was trained on inputs of shape {list(network.input_shape)}, and only images "
            "can be embedded: give a run on images"
        )
    return EncoderSource(
        images=network.settings()["data"], preprocessing=_recorded(network), read=read
    )


def _recorded(network: PretrainedEncoder) -> Preprocessing:
    """What the run did to its pictures."""
    found = DataRecord.read(network.run).preprocessing
    if found is not None:
        return found
    name = read_config_tree(network.run.config)["data"]["name"]
    return Preprocessing.supposed(name, network.input_shape)


def _network(name: str, weights: str | None) -> EncoderSource:
    """A network of another package, such as ``torchvision:resnet18``, with weights from a file."""
    package, _, arch = name.partition(":")
    if weights is None:
        own = ", or --weights download for torchvision's own" if package == "torchvision" else ""
        raise InputError(f"{name} has no weights: give a file with --weights{own}")
    model = validate_section(MODELS, {"name": package, "arch": arch, "weights": weights})
    size = timm_image_size(arch) if package == "timm" else _IMAGENET

    def read(input_shape: tuple[int, ...], images: Images) -> Encoder:
        params, statistics = build_backbone(model, input_shape).init(torch.Generator())
        bare = model.model_copy(update={"weights": None})
        return Encoder(
            build=partial(build_backbone, bare, input_shape),
            state=State(params, statistics),
            origin={"name": name, "model": _settings(bare)},
        )

    return EncoderSource(images=_images(size), preprocessing=_colour(size), read=read)


def _images(size: int) -> Tree:
    return {"image_size": size, "channels": 3}


def _colour(size: int) -> Preprocessing:
    """Of square pictures in colour."""
    return Preprocessing(height=size, width=size, stored_channels=3, channels=3, inverted=False)


def _settings(model: ModelConfig) -> Tree:
    return model.model_dump(exclude_defaults=True) | {"name": model.name}


def _sha256(tensors: Tensors) -> str:
    """Of names, shapes and values."""
    digest = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
