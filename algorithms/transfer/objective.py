"""What every kind of transfer job is to the rest of metaray: a loss over the shards of a batch.

A batch is cut into shards of a fixed size, which is a setting of the job and not the number of its
workers: each shard is normalised by itself, and the gradient of the batch is the sum of what each
shard contributes. So one worker that takes the shards one after another (gradient accumulation),
two, or eight give the same bits; with one shard, batch norm sees the whole batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors

Transform = Callable[[Tensor, torch.Generator], Tensor]
"""One image ``[C, H, W]`` in [0, 1] to an augmented one, by the random numbers of a generator."""


class View(NamedTuple):
    """Images that an objective asks for in each step."""

    domain: Literal["source", "target"] = "source"
    labelled: bool = True
    """labels are read; those of an unlabelled view are out of reach of training"""
    transform: Transform | None = None
    """augmentation of each image by itself"""
    shuffled: bool = False
    """the images of the batch lie in another order than in the first view of their domain, drawn
    for each step; ``Shard.order`` tells which (MoCo normalises keys among other images so)"""


class Shard(NamedTuple):
    """What a worker computes together."""

    images: tuple[Tensor, ...]
    """of each view, ``[n, C, H, W]`` in [0, 1]"""
    labels: tuple[Tensor | None, ...]
    """of each view, int64 ``[n]``, or None"""
    order: Tensor
    """int64 ``[n]``: for each image of a shuffled view, its place in the unshuffled batch"""
    key: Tensor
    """int64 ``[]``: seed of what is dropped at random, other for each step and shard"""


class Forward(NamedTuple):
    """A shard after the network."""

    outputs: Tensors
    """what the loss is made of: ``[n, ...]`` each"""
    batch_stats: Tensors
    """normalisation statistics that were used, named as those among the buffers that they renew"""


class Networks(NamedTuple):
    """What an objective is built over; each is constructed as ``cls(config, networks)``."""

    backbone: Backbone
    """that is trained"""
    input_shape: tuple[int, ...]
    """of one image, ``[C, H, W]``"""
    num_classes: int
    """classes of the source"""
    teacher: Backbone | None = None
    """the network of the run that ``job.teacher`` names, for a job that has this setting"""


class Start(NamedTuple):
    """Tensors that training starts from. They are given once, to ``init``: what is needed later
    (a teacher, the start itself) goes into the buffers, which every checkpoint holds."""

    encoder: State | None = None
    """of the backbone, by its own names; None: drawn at random"""
    teacher: State | None = None
    """of the teacher's backbone; its classifier, if it has one, is ``head.*`` in the parameters"""


NOTHING = Start()


class Objective(ABC):
    """One kind of transfer job. Nothing here mutates its arguments or keeps anything between calls.

    In each step the job calls ``begin_step``; ``forward`` and ``loss`` of every shard, whose
    gradients it adds; the optimizer; ``end_step``.
    """

    couples_batch: ClassVar[bool] = False
    """The loss compares images of different shards. ``loss`` then gets the outputs of the whole
    batch, gathered from all workers, and is computed once; the gradient flows into the shards of
    each worker, and workers add theirs."""
    views: tuple[View, ...]

    @abstractmethod
    def init(self, seed: int, start: Start = NOTHING) -> State:
        """The first parameters and buffers, on the CPU, the same for the same seed and start."""

    @abstractmethod
    def forward(self, state: State, shard: Shard, progress: float) -> Forward:
        """Run the network. ``progress`` is the share of all steps that are done."""

    @abstractmethod
    def loss(
        self, state: State, outputs: Tensors, labels: tuple[Tensor | None, ...], progress: float
    ) -> tuple[Tensor, Tensors]:
        """The mean loss over ``outputs`` and metrics to log (scalars).

        Args:
            state: as given to ``forward``.
            outputs: of one shard, or of the whole batch where the objective couples it, in the
                order of the unshuffled batch but for shuffled views.
            labels: of each view, for the same images; None where a view has none.
            progress: share of all steps that are done.
        """

    def begin_step(self, state: State) -> State:
        """The state for this step, before any shard (MoCo moves its key encoder here)."""
        return state

    def end_step(self, state: State, outputs: Tensors) -> Tensors:
        """The buffers after the step (MoCo queues its keys here).

        ``state`` is that after the optimizer; ``outputs`` those of the whole batch where the
        objective couples it, else empty.
        """
        return state.buffers

    @abstractmethod
    def features(self, state: State, x: Tensor) -> Tensor:
        """Features ``[B, F]`` of the encoder that this job trains, for evaluation.

        Normalised by running statistics; nothing is dropped.
        """

    def predict(self, state: State, x: Tensor) -> Tensor | None:
        """Logits ``[B, classes]``; None for objectives that know no classes."""
        return None

    @abstractmethod
    def encoder(self, state: State) -> State:
        """The backbone's parameters and statistics, by the backbone's own names."""

    def groups(self, progress: float) -> dict[str, float]:
        """The factor of the learning rate of each parameter now; 0 freezes it.

        A frozen parameter has neither gradient step nor weight decay, and the statistics of a
        normalisation whose scale is frozen do not move. All are 1 by default.
        """
        return {}

    def decays(self, name: str) -> bool:
        """Whether weight decay may act on a parameter. Those of norms and biases never decay."""
        return True

    def describe(self) -> dict[str, Any]:
        """What the report should say of it beside its settings; nothing by default."""
        return {}
