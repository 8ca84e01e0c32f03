"""The network that another run left, as a start, a teacher, or something to evaluate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import HEAD
from metaray.algorithms.models.pretrained import fitted
from metaray.algorithms.models.registry import MODELS
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.reading import refusing_damage
from metaray.algorithms.transfer.batch_statistics import estimate_statistics
from metaray.platform.config.kinds import config_class_of
from metaray.platform.config.loading import read_config_tree, validate_section
from metaray.platform.config.tree import Tree
from metaray.platform.run.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    newest_whole,
    params_sha256,
    read_checkpoint,
    read_step,
)
from metaray.platform.run.directory import RunDirectory, checkpoint_file, saved_steps
from metaray.platform.run.provenance import DataRecord

_STATISTICS_BATCH = 64
_STATISTICS_BATCHES = 16


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a network came from; goes into the summary."""

    run: str
    """folder of the run"""
    trained_by: str
    """its method or job"""
    step: int
    """of the checkpoint"""
    params_sha256: str
    """of all its parameters"""
    taken: int
    """parameters and statistics of the encoder, by name"""
    left: tuple[str, ...]
    """names of the parameters that are no part of the encoder, such as the head"""
    statistics: str
    """whose normalisation statistics: its own, or estimated on the data of the new job"""

    def as_json(self) -> dict[str, Any]:
        """For the summary."""
        return asdict(self) | {"left": list(self.left)}

    @property
    def sentence(self) -> str:
        """For the user."""
        left = f"; not taken: {_some(self.left)}" if self.left else ""
        estimated = "" if self.statistics == "own" else ", normalisation statistics are estimated"
        return (
            f"starts from step {self.step} of {self.run} ({self.trained_by}): {self.taken} tensors "
            f"of the encoder{left}{estimated}"
        )


@dataclass(frozen=True, kw_only=True)
class PretrainedEncoder:
    """The network of a run, read but not fitted to anything."""

    run: RunDirectory
    model: ModelConfig
    trained_by: str
    input_shape: tuple[int, ...]
    classes: tuple[str, ...]
    """names of the classes in the order of the outputs; empty where they were not recorded"""
    content_sha256: str | None
    """of the images that it was trained on"""
    checkpoint: Checkpoint

    @classmethod
    def read(cls, path: Path) -> PretrainedEncoder:
        """That of a run's folder (best on validation, if it validated), or of a checkpoint file.

        Raises:
            InputError: no run of ours there, or it is damaged.
        """
        file = path if path.suffix == ".safetensors" else None
        run = RunDirectory.open(path if file is None else path.parent.parent)
        config, source = read_config_tree(run.config), DataRecord.read(run).source
        with refusing_damage(
            f"{run.path} does not say what network it holds",
            "restore config.json, or give another run",
        ):
            trained_by = str(config[config_class_of(config).section]["name"])
            model = validate_section(MODELS, config["model"])
        return cls(
            run=run,
            model=model.model_copy(update={"weights": None}),
            trained_by=trained_by,
            input_shape=source.input_shape,
            classes=source.classes,
            content_sha256=source.content_sha256,
            checkpoint=chosen_checkpoint(run) if file is None else read_checkpoint(file),
        )

    def encoder(self, backbone: Backbone, images: Iterable[Tensor]) -> tuple[State, Provenance]:
        """The tensors of ``backbone``, and what was taken.

        Where the run kept no statistics (as MAML does), they are estimated on ``images``,
        batches ``[B, C, H, W]``.

        Raises:
            InputError: they are those of another network; layers are named.
        """
        wanted, statistics = backbone.init(torch.Generator().manual_seed(0))
        params, buffers = self.checkpoint.named
        found = {name: value for name, value in params.items() if name in wanted}
        start = fitted(
            wanted,
            found,
            f"the weights of {self.run.path}",
            f"set model.* and the images' size and channels as there ({_settings(self.model)})",
        )
        has_own = all(name in buffers for name in statistics)
        stats = (
            {name: buffers[name].to(value.dtype) for name, value in statistics.items()}
            if has_own
            else estimate_statistics(backbone, start, images)
        )
        return State(start, stats), Provenance(
            run=str(self.run.path),
            trained_by=self.trained_by,
            step=self.checkpoint.step,
            params_sha256=params_sha256(self.checkpoint),
            taken=len(start) + (len(stats) if has_own else 0),
            left=tuple(name for name in params if name not in wanted),
            statistics="own" if has_own else "estimated",
        )

    def head(self) -> Tensors:
        """The classifier ``head.*``, where the run has one."""
        params, _ = self.checkpoint.named
        return {name: params[name] for name in HEAD if name in params}

    def settings(self) -> Tree:
        """The settings of model and images under which its weights fit."""
        channels, size = self.input_shape[0], self.input_shape[-1]
        return {
            "model": self.model.model_dump(exclude_defaults=True) | {"name": self.model.name},
            "data": {"image_size": size, "channels": channels},
        }


def statistics_batches(count: int) -> list[Any]:
    """Indices of images of the same number in each batch, for ``estimate_statistics``."""
    size = min(_STATISTICS_BATCH, count)
    batches = min(_STATISTICS_BATCHES, count // size)
    spread = np.linspace(0, count - 1, batches * size).astype(np.int64)
    return [spread[i::batches] for i in range(batches)]


def chosen_checkpoint(run: RunDirectory) -> Checkpoint:
    """The best checkpoint on validation, or the newest."""
    steps = sorted(saved_steps(run.checkpoints))
    if not steps:
        raise InputError(f"{run.path} has no checkpoint yet: train it first")
    try:
        newest = read_step(run.checkpoints, steps[-1])
        if newest.best_step is None or newest.best_step == newest.step:
            return newest
        return read_step(run.checkpoints, newest.best_step)
    except DamagedCheckpointError as error:
        # another one would be another start, which the user should choose
        other = newest_whole(run.checkpoints, lambda _: None)
        instead = checkpoint_file(run.checkpoints, other.step) if other else "that of another run"
        raise InputError(
            f"{error}: continue that run with --resume, which computes it again, or name the file "
            f"of another checkpoint, such as {instead}"
        ) from None


def _settings(model: ModelConfig) -> str:
    own = model.model_dump(exclude_defaults=True) | {"name": model.name}
    return ", ".join(f"model.{key} = {value}" for key, value in own.items())


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
