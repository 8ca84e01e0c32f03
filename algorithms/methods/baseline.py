"""Baseline and Baseline++: no meta-learning, as a reference for it.

Chen, Liu, Kira, Wang & Huang, "A Closer Look at Few-shot Classification", ICLR 2019 (arXiv
1904.04232). Training: backbone and classifier over all meta-training classes, by cross-entropy on
mini-batches. On a task: the backbone is frozen, and a new head of one output per way is fitted to
the support set by SGD (section 3.2)::

    Baseline     logits = W f(x) + b
    Baseline++   logits_c = scale * length_c * cos(f(x), w_c)

Features are normalised by running statistics (inductive). Transductive, which the paper does not
have, normalises the support set by itself and the queries by their own batch.

Deviations:

* The new head starts with all classes alike (weights of zero, or one direction for all); the
  authors draw it at random. A prediction is then a function of the episode alone.
* Mini-batches of the fit cycle through the support set in the order in which it was sampled; the
  authors shuffle again in each pass. 100 steps are the paper's text; the authors' code makes 100
  passes.
* Mini-batches of training are independent draws rather than passes over the shuffled data, and
  augmentation (``data.augment``) shifts and flips where the authors crop and change colours too.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad
from typing_extensions import override

from metaray.algorithms.algorithm import State, TaskGradient, curve_steps
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.losses import Kind, cross_entropy, metrics_of
from metaray.algorithms.methods.baseline_config import BaselineConfig, BaselinePPConfig
from metaray.algorithms.methods.frozen_backbone import FrozenBackbone
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.cosine_head import (
    apply_cosine_head,
    even_cosine_head,
    init_cosine_head,
)
from metaray.algorithms.models.head import HEAD, apply_head, init_head
from metaray.algorithms.models.norm import running_statistics
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.behind import gradients_behind


class FittedHead(NamedTuple):
    """The frozen backbone with a head for one task."""

    params: Tensors
    head: Tensors
    stats: Tensors | None
    """statistics to normalise by; None: those of the batch that is predicted"""


class _PreTrained(FrozenBackbone):
    """Ordinary training of a backbone, and a new head for each task."""

    def __init__(
        self,
        backbone: Backbone,
        kind: Kind,
        num_outputs: int,
        config: BaselineConfig | BaselinePPConfig,
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self._fit_config = config

    @abstractmethod
    def first_head(self, generator: torch.Generator) -> Tensors:
        """A head over the training classes."""

    @abstractmethod
    def new_head(self, features: Tensor, ways: int) -> Tensors:
        """A head over ``ways`` classes that treats them alike."""

    @abstractmethod
    def train_logits(self, params: Tensors, features: Tensor) -> Tensor:
        """Logits ``[B, num_outputs]`` over the training classes."""

    @abstractmethod
    def task_logits(self, head: Tensors, features: Tensor) -> Tensor:
        """Logits ``[B, ways]`` of the head of a task."""

    @property
    @override
    def reported_steps(self) -> tuple[int, ...]:
        return curve_steps(self._fit_config.eval_inner_steps)

    @override
    def init(self, seed: int) -> State:
        """Backbone and head, and the running statistics as buffers."""
        generator = torch.Generator().manual_seed(seed)
        params, stats = self.backbone.init(generator)
        return State(params | self.first_head(generator), stats)

    @override
    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """The gradient on a mini-batch, which is the query set; its labels are training classes."""

        def loss(params: Tensors) -> tuple[Tensor, tuple[Tensors, Tensors]]:
            features, batch_stats = self.backbone.apply(params, episode.query_x, None, episode.key)
            metrics = metrics_of(self.kind, self.train_logits(params, features), episode.query_y)
            return metrics["loss"], (metrics, batch_stats)

        gradient, (metrics, batch_stats) = grad(loss, has_aux=True)(state.params)
        return TaskGradient(gradient, running_statistics(state.buffers, batch_stats), metrics)

    @override
    def gradients_by_rules(
        self, state: State, episodes: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        def loss(
            own: Tensors, features: Tensor, *tensors: Tensor
        ) -> tuple[Tensor, tuple[Tensors, Tensors]]:
            labels = Episode(*tensors).query_y
            metrics = metrics_of(self.kind, self.train_logits(own, features), labels)
            return metrics["loss"], (metrics, {})

        return gradients_behind(self.body, state, episodes.query_x, episodes, loss)

    @override
    def adapt(
        self,
        state: State,
        support_x: Tensor,
        support_y: Tensor,
        ways: int,
        batch_norm: BatchNormMode,
    ) -> list[Any]:
        stats = state.buffers if batch_norm == "inductive" else None
        features, _ = self.backbone.apply(state.params, support_x, stats)
        heads = self.fit(features, support_y, ways)
        return [FittedHead(state.params, heads[step], stats) for step in self.reported_steps]

    @override
    def head_outputs(self, adapted: FittedHead, features: Tensor) -> Tensor:
        return self.task_logits(adapted.head, features)

    def fit(self, features: Tensor, y: Tensor, ways: int) -> list[Tensors]:
        """The head after 0, 1, ... steps of SGD on features ``[S, F]`` with labels ``[S]``."""
        config = self._fit_config

        def loss(head: Tensors, rows: Tensor) -> Tensor:
            return cross_entropy(self.task_logits(head, features[rows]), y[rows])

        head = self.new_head(features, ways)
        heads, velocity = [head], dict[str, Tensor]()
        size = features.shape[0]
        for step in range(config.eval_inner_steps):
            first = step * config.eval_inner_batch
            rows = torch.arange(first, first + config.eval_inner_batch, device=y.device)
            rows = rows[:size] % size  # a batch never holds an example twice
            slope = grad(loss)(head, rows)
            slope = {n: g + config.eval_weight_decay * head[n] for n, g in slope.items()}
            if velocity:  # torch.optim.SGD does not damp the first step
                keep = config.eval_momentum
                slope = {n: keep * velocity[n] + (1 - keep) * g for n, g in slope.items()}
            velocity = slope
            head = {n: p - config.eval_inner_lr * velocity[n] for n, p in head.items()}
            heads.append(head)
        return heads


class Baseline(_PreTrained):
    """A linear head, in training and on a task."""

    @override
    def first_head(self, generator: torch.Generator) -> Tensors:
        """Glorot-uniform weights and zero biases."""
        return init_head(generator, self.backbone.feature_dim, self.num_outputs)

    @override
    def new_head(self, features: Tensor, ways: int) -> Tensors:
        """Zeros."""
        shapes = ((ways, features.shape[-1]), (ways,))
        return {n: features.new_zeros(shape) for n, shape in zip(HEAD, shapes, strict=True)}

    @override
    def train_logits(self, params: Tensors, features: Tensor) -> Tensor:
        return apply_head(params, features)

    @override
    def task_logits(self, head: Tensors, features: Tensor) -> Tensor:
        return apply_head(head, features)


class BaselinePP(_PreTrained):
    """A head of cosine similarities, in training and on a task."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: BaselinePPConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs, config)
        self.config = config

    @override
    def first_head(self, generator: torch.Generator) -> Tensors:
        """Random directions."""
        return init_cosine_head(generator, self.backbone.feature_dim, self.num_outputs)

    @override
    def new_head(self, features: Tensor, ways: int) -> Tensors:
        """One direction for all."""
        return even_cosine_head(features, ways)

    @override
    def train_logits(self, params: Tensors, features: Tensor) -> Tensor:
        return apply_cosine_head(params, features, self.config.scale)

    @override
    def task_logits(self, head: Tensors, features: Tensor) -> Tensor:
        return apply_cosine_head(head, features, self.config.eval_scale)
