"""Checkpoints: one safetensors file per saved step, written atomically.

Loading one executes no code. A file holds the flat parameters and buffers, the optimizer's slots,
and as metadata the step, the course of validation, a fingerprint of the network, and checksums of
the tensors and of all that.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import safe_open
from torch import Tensor

from metaray.algorithms.atomic import atomic_path
from metaray.algorithms.errors import InputError, write_error
from metaray.algorithms.parameters import Layout
from metaray.algorithms.reading import reason, refusing_damage
from metaray.platform.run.directory import checkpoint_file, saved_steps

_GO_ON = "continue the run with --resume, which goes back to one that is whole"
_REMEDY = "make room or make it writable, then continue with --resume"


class DamagedCheckpointError(InputError):
    """A file that is no whole checkpoint: truncated, altered, or not of metaray."""


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
        with refusing_damage(f"the checkpoint of step {self.step} is damaged", _GO_ON):
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

    model_config = ConfigDict(strict=True, extra="forbid")

    step: int = Field(ge=0)
    best_step: int | None = None
    best_score: float | None = None
    wall_s: float = 0.0
    shapes: str
    sha256: str
    header_sha256: str | None = None


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

    def __init__(
        self, folder: Path, shapes: str, keep: int, notify: Callable[[str], None] = warnings.warn
    ) -> None:
        """``notify`` takes a sentence about a damaged file."""
        self.folder = folder
        self.shapes = shapes
        self.keep = keep
        self.notify = notify

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write ``checkpoint`` durably, then drop what is no longer needed.

        Raises:
            DiskError: the disk is full or read-only; earlier checkpoints are untouched.
            InputError: the folder cannot be written.
        """
        path = self._path(checkpoint.step)
        write_checkpoint(path, replace(checkpoint, shapes=self.shapes))
        self._prune(checkpoint)
        return path

    def load(self, step: int) -> Checkpoint:
        """The checkpoint of ``step``.

        Raises:
            InputError: missing, damaged, or of another method or network.
        """
        try:
            return self._checked(read_step(self.folder, step))
        except DamagedCheckpointError as error:
            raise InputError(f"{error}: {_GO_ON} and computes it again") from None

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None when there is none yet.

        Raises:
            InputError: all are damaged, or it is of another method or network.
        """
        newest = newest_whole(self.folder, self.notify)
        return None if newest is None else self._checked(newest)

    def _checked(self, checkpoint: Checkpoint) -> Checkpoint:
        if checkpoint.shapes != self.shapes:
            raise InputError(
                f"{self._path(checkpoint.step)} is of another method or network: it holds "
                f"{checkpoint.shapes}, the config describes {self.shapes}"
            )
        return checkpoint

    def steps(self) -> Iterator[int]:
        """The steps that have a checkpoint."""
        yield from saved_steps(self.folder)

    def _path(self, step: int) -> Path:
        return checkpoint_file(self.folder, step)

    def _prune(self, newest: Checkpoint) -> None:
        kept = set(sorted(self.steps())[-self.keep :]) | {newest.best_step}
        for step in set(self.steps()) - kept:
            self._path(step).unlink(missing_ok=True)


def newest_whole(folder: Path, notify: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint of a folder that is whole, or None where there is no file.

    Args:
        folder: of the checkpoints of a run.
        notify: takes a sentence about each newer file that is damaged, once in a process.

    Raises:
        InputError: all are damaged.
    """
    steps = sorted(saved_steps(folder), reverse=True)
    damage: DamagedCheckpointError | None = None
    for step in steps:
        try:
            whole = read_step(folder, step)
        except DamagedCheckpointError as error:
            damage = damage or error
            continue
        if damage is not None and str(damage) not in _REPORTED:
            _REPORTED.add(str(damage))
            notify(f"{damage}; the checkpoint of step {step}, the one before, is used")
        return whole
    if damage is None:
        return None
    raise InputError(
        f"{damage}, and {folder} has no other that is whole: restore it from a copy, or start a "
        "new run with another --out"
    )


_REPORTED = set[str]()


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write one file durably.

    Raises:
        DiskError: the disk is full or read-only.
        InputError: the folder cannot be written.
    """
    header = {
        "step": checkpoint.step,
        "best_step": checkpoint.best_step,
        "best_score": checkpoint.best_score,
        "wall_s": checkpoint.wall_s,
        "shapes": checkpoint.shapes,
        "sha256": _digest(checkpoint.tensors),
    }
    header["header_sha256"] = _header_digest(header)
    metadata = {"metaray": json.dumps(header)}
    # not save_file: its files are readable by their owner alone, and its errors have no number
    content = safetensors.torch.save(checkpoint.tensors, metadata)
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise write_error(f"checkpoint {path}", error, _REMEDY) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one file.

    Files of metaray before 0.1.0 have a checksum of the tensors alone.

    Raises:
        DamagedCheckpointError: truncated, altered, or not a checkpoint of metaray.
        InputError: missing.
    """
    if not path.is_file():
        raise InputError(
            f"there is no checkpoint {path}: the run has not come that far, or it was deleted"
        )
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {})["metaray"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        stated, header = json.loads(text), _Header.model_validate_json(text)
        if tensors["params"].ndim != 1:
            raise ValueError("its parameters are no vector")
        digests = header.header_sha256, header.sha256
        stated.pop("header_sha256", None)
        is_whole = digests[0] in (None, _header_digest(stated)) and digests[1] == _digest(tensors)
    except Exception as error:  # safetensors may raise anything over a damaged file
        raise DamagedCheckpointError(
            f"{path} is not a readable checkpoint ({reason(error)})"
        ) from None
    if not is_whole:
        raise DamagedCheckpointError(f"{path} is damaged (its checksum differs)")
    return Checkpoint(tensors=tensors, **header.model_dump(exclude={"sha256", "header_sha256"}))


def read_step(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of ``step`` in a folder; errors as of ``read_checkpoint``."""
    path = checkpoint_file(folder, step)
    checkpoint = read_checkpoint(path)
    if checkpoint.step != step:
        raise DamagedCheckpointError(
            f"{path} is damaged (it says that it is of step {checkpoint.step})"
        )
    return checkpoint


def params_sha256(checkpoint: Checkpoint) -> str:
    """SHA-256 of the meta-parameters' bytes: equal for runs that are bit-identical."""
    return sha256(checkpoint.tensors["params"].contiguous().numpy().tobytes()).hexdigest()


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = sha256()
    for name in sorted(tensors):
        digest.update(f"{name}{tuple(tensors[name].shape)}{tensors[name].dtype}".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _header_digest(header: dict[str, Any]) -> str:
    """Of all that a file says beside its tensors, and of their digest."""
    return sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
