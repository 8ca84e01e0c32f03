"""Pretrained weights: from a file without executing what is in it, or from torchvision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from metaray.algorithms.errors import InputError
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.reading import refusing_damage

_NAMED = 3  # layers that an error message lists
# torchvision's files of densenets have names from before a module's could hold no dot
_DOTTED = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")


def read_weights(arch: str, source: str) -> Tensors:
    """A state dict from the file ``source``, or torchvision's for ``arch`` where it is `download`.

    Raises:
        InputError: no such file, one that cannot be read safely, or no network to download over.
    """
    found = _download(arch) if source == "download" else _read(Path(source))
    return {_DOTTED.sub(r"\1", name): tensor for name, tensor in found.items()}


def _read(path: Path) -> Mapping[str, Tensor]:
    with refusing_damage(
        f"cannot read the weights {path}",
        "give a state dict written by torch.save or safetensors",
    ):
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, Mapping) or not all(map(_is_weight, found, found.values())):
        raise InputError(
            f"{path} holds no state dict: save model.state_dict(), names and tensors alone"
        )
    return found


def _is_weight(name: object, value: object) -> bool:
    """Whether both are what a state dict holds: a name, and a plain tensor of real numbers."""
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def fitted(
    wanted: Tensors,
    found: Tensors,
    what: str,
    advice: str = "set model.arch to the network they belong to",
) -> Tensors:
    """``found`` with the types of ``wanted``, whose names and shapes it must have.

    Raises:
        InputError: a tensor is missing, unknown or of another shape; the first few are named.
    """
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} has no place" for name in found if name not in wanted]
    problems += [
        f"{name} is {_shape(found[name])} in place of {_shape(tensor)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    if problems:
        more = f" and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise InputError(
            f"{what} are those of another network: {'; '.join(problems[:_NAMED])}{more}: {advice}"
        )
    return {name: found[name].to(tensor.dtype) for name, tensor in wanted.items()}


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


def _download(arch: str) -> Tensors:
    from torchvision.models import get_model_weights  # seconds, which other weights do not need

    try:
        state: dict[str, Any] = get_model_weights(arch).DEFAULT.get_state_dict(
            progress=False, check_hash=True
        )
    except (OSError, RuntimeError) as error:  # RuntimeError: what came has another checksum
        raise InputError(
            f"cannot download the weights of {arch} ({error}): give a file as model.weights"
        ) from None
    return state
