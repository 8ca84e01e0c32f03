"""What learner and workers both build from the config, so that their flat vectors agree."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaray.algorithms.algorithm import Algorithm, State
from metaray.algorithms.errors import InputError
from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.method_section import BatchTrained
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.parameters import Layout
from metaray.algorithms.registry import build_algorithm
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.common.seeds import initial_parameters_seed
from metaray.platform.config.meta import RunConfig
from metaray.platform.training.device import dtype_of
from metaray.platform.training.meta.derivatives import derivatives_of
from metaray.platform.training.meta.episode_source import open_source
from metaray.platform.training.meta.messages import FlatState


class Blueprint:
    """The data and the algorithm of a run, and how its state lies in a flat vector.

    Built once in each process, whose worker and learner share it: both only read it.
    """

    def __init__(self, config: RunConfig, source: EpisodeSource) -> None:
        self.config = config
        self.source = source
        classes = None if source.kind == "regression" else source.num_classes("train")
        self.algorithm = algorithm_of(config, source.input_shape, classes)
        self.algorithm.rules = derivatives_of(config, self.algorithm) == "rules"
        self.dtype = dtype_of(config.workers)

    @classmethod
    def open(cls, config: RunConfig) -> Blueprint:
        """That of ``config`` in a process that has not opened its data yet.

        Raises:
            InputError: the data is missing or damaged, or does not suit the method.
        """
        return cls(config, open_source(config))

    @cached_property
    def initial(self) -> State:
        """The untrained state.

        Raises:
            InputError: there is nothing that training could change.
        """
        state = self.algorithm.init(initial_parameters_seed(self.config.seed))
        if not state.params and self.config.train.outer_steps:
            config = self.config
            raise InputError(
                f"{config.method.label} over model.name = {config.model.label} has no parameters "
                "to train: set train.outer_steps = 0, or model.name = mlp"
            )
        return State(*({k: v.to(self.dtype) for k, v in part.items()} for part in state))

    @cached_property
    def layouts(self) -> tuple[Layout, Layout]:
        """Of parameters and of buffers."""
        return Layout.of(self.initial.params), Layout.of(self.initial.buffers)

    def flatten(self, state: State) -> Tensor:
        """``[P + B]``, or ``[T, P + B]`` under a leading task axis."""
        parts = [layout.flatten(part) for layout, part in zip(self.layouts, state, strict=True)]
        filled = [part for part in parts if part.numel()]
        return torch.cat(filled, dim=-1) if filled else torch.empty(0, dtype=self.dtype)

    def unflatten(self, flat: Tensor) -> State:
        """Views of ``flat`` by name."""
        params, buffers = self.layouts
        return State(params.unflatten(flat[: params.size]), buffers.unflatten(flat[params.size :]))

    @property
    def initial_flat(self) -> FlatState:
        """The untrained state as it travels."""
        array: np.ndarray[Any, Any] = self.flatten(self.initial).numpy()
        return array


def algorithm_of(
    config: RunConfig, input_shape: tuple[int, ...], train_classes: int | None
) -> Algorithm:
    """The method of ``config`` for inputs of ``input_shape``; ``train_classes`` None: regression.

    Raises:
        InputError: the method cannot learn such tasks, or the network cannot take such inputs.
    """
    kind: Kind = "regression" if train_classes is None else "classification"
    num_outputs = config.test_shape.ways
    if train_classes is None:
        num_outputs = 1
    elif isinstance(config.method, BatchTrained):
        num_outputs = config.method.num_classes or train_classes
    return build_algorithm(
        config.method, build_backbone(config.model, input_shape), kind, num_outputs
    )
