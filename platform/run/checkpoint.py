"""Checkpoints: one safetensors file per saved step, written atomically.

Loading one executes no code. A file holds the flat parameters and buffers, the optimizer's slots,
and as metadata the step, the course of validation, a fingerprint of the network, and a checksum.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from math import prod
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from metaray.algorithms.atomic import atomic_path
from metaray.algorithms.errors import DiskError, InputError, write_error
from metaray.algorithms.parameters import Layout
from metaray.algorithms.reading import refusing_damage
from metaray.platform.run.directory import checkpoint_file, saved_steps

_FALL_BACK = "delete it to fall back to the one before"
_REMEDY = "make room or make it writable, then continue with --resume"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything that outer step ``step`` and all later ones depend on."""

    step: int
    tensors: dict[str, Tensor]
    """``params`` ``[P]``, ``buffers`` ``[B]``, ``optimizer.*``"""
    best_step: int | None = None
    """the step whose parameters validated best so far"""
    best_score: float | None = None
    """its validation accuracy, or minus its error"""
    wall_s: float = 0.0
    """time spent in training so far"""
    shapes: str = field(default="", compare=False)
    """method, parameter names and shapes: what the flat vectors mean (``shapes_text``)"""

    @property
    def named(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Parameters and buffers by name.

        Raises:
            InputError: they are not of the shapes that the checkpoint states.
        """
        with refusing_damage(f"the checkpoint of step {self.step} is damaged", _FALL_BACK):
            return self._named()

    def _named(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        sizes = list(_shapes_in(self.shapes))
        flat = [self.tensors["params"]]
        if "buffers" in self.tensors:
            flat.append(self.tensors["buffers"])
        pieces = torch.cat(flat).split([prod(shape) for _, shape in sizes])
        count, seen = self.tensors["params"].numel(), 0
        params, buffers = dict[str, Tensor](), part_of(self.tensors, "buffers.")
        for (name, shape), piece in zip(sizes, pieces, strict=True):
            (params if seen < count else buffers)[name] = piece.view(shape)
            seen += piece.numel()
        return params, buffers


class _Header(BaseModel):
    """What a file says beside its tensors."""

    model_config = ConfigDict(strict=True)

    step: int = Field(ge=0)
    best_step: int | None = None
    best_score: float | None = None
    wall_s: float = 0.0
    shapes: str
    sha256: str


def shapes_text(head: str, *layouts: Layout) -> str:
    """What flat vectors hold, after a word of what they belong to; names have no spaces."""
    shapes = ", ".join(
        f"{name} {'x'.join(map(str, shape)) or 'scalar'}"
        for layout in layouts
        for name, shape in layout.shapes
    )
    return f"{head}: {shapes}"


def _shapes_in(text: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes as ``shapes_text`` wrote them."""
    for item in filter(None, text.partition(": ")[2].split(", ")):
        name, _, shape = item.partition(" ")
        yield name, () if shape == "scalar" else tuple(map(int, shape.split("x")))


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those of ``tensors`` whose names begin with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


class CheckpointStore:
    """The checkpoints of a run: the newest few, and those that are best on validation."""

    def __init__(self, folder: Path, shapes: str, keep: int) -> None:
        self.folder = folder
        self.shapes = shapes
        self.keep = keep

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write ``checkpoint`` durably, then drop what is no longer needed.

        Raises:
            DiskError: the disk is full or read-only; earlier checkpoints are untouched.
            InputError: the folder cannot be written.
        """
        path = self._path(checkpoint.step)
        metadata = {
            "step": checkpoint.step,
            "best_step": checkpoint.best_step,
            "best_score": checkpoint.best_score,
            "wall_s": checkpoint.wall_s,
            "shapes": self.shapes,
            "sha256": _digest(checkpoint.tensors),
        }
        try:
            with atomic_path(path) as temporary:
                # empty tensors (no buffers) are stored as they are
                save_file(checkpoint.tensors, temporary, {"metaray": json.dumps(metadata)})
        except OSError as error:
            raise write_error(f"checkpoint {path}", error, _REMEDY) from error
        except SafetensorError as error:  # it has no number, and the settings are not the cause
            raise DiskError(f"cannot write checkpoint {path}: {error}; {_REMEDY}") from error
        self._prune(checkpoint)
        return path

    def load(self, step: int) -> Checkpoint:
        """The checkpoint of ``step``.

        Raises:
            InputError: missing, damaged, or of another method or network.
        """
        checkpoint = read_checkpoint(self._path(step))
        if checkpoint.step != step:
            raise InputError(
                f"{self._path(step)} is damaged (it says that it is of step {checkpoint.step}): "
                f"{_FALL_BACK}"
            )
        if checkpoint.shapes != self.shapes:
            raise InputError(
                f"{self._path(step)} is of another method or network: it holds "
                f"{checkpoint.shapes}, the config describes {self.shapes}"
            )
        return checkpoint

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint, or None when there is none yet."""
        steps = sorted(self.steps())
        return self.load(steps[-1]) if steps else None

    def steps(self) -> Iterator[int]:
        """The steps that have a checkpoint."""
        yield from saved_steps(self.folder)

    def _path(self, step: int) -> Path:
        return checkpoint_file(self.folder, step)

    def _prune(self, newest: Checkpoint) -> None:
        kept = set(sorted(self.steps())[-self.keep :]) | {newest.best_step}
        for step in set(self.steps()) - kept:
            self._path(step).unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one file.

    Raises:
        InputError: missing, truncated, altered, or not a checkpoint of metaray.
    """
    if not path.is_file():
        raise InputError(
            f"there is no checkpoint {path}: the run has not come that far, or it was deleted"
        )
    with refusing_damage(f"{path} is not a readable checkpoint", _FALL_BACK):
        with safe_open(path, framework="pt") as file:
            header = _Header.model_validate_json((file.metadata() or {})["metaray"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if tensors["params"].ndim != 1:
            raise ValueError("its parameters are no vector")
        digest = _digest(tensors)
    if header.sha256 != digest:
        raise InputError(f"{path} is damaged (its checksum differs): {_FALL_BACK}")
    return Checkpoint(tensors=tensors, **header.model_dump(exclude={"sha256"}))


def params_sha256(checkpoint: Checkpoint) -> str:
    """SHA-256 of the meta-parameters' bytes: equal for runs that are bit-identical."""
    return sha256(checkpoint.tensors["params"].contiguous().numpy().tobytes()).hexdigest()


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = sha256()
    for name in sorted(tensors):
        digest.update(f"{name}{tuple(tensors[name].shape)}{tensors[name].dtype}".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
