"""What every method is to the rest of metaray: a set of pure functions of its state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.losses import Kind
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import init_head
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.network import Network, network_of


class State(NamedTuple):
    """All that meta-training changes."""

    params: Tensors
    """meta-parameters, moved by the outer optimizer"""
    buffers: Tensors
    """running statistics: after each outer step, the mean of what the tasks left in them"""


class TaskGradient(NamedTuple):
    """What one task contributes to an outer step."""

    gradient: Tensors
    """named and shaped as the parameters"""
    buffers: Tensors
    """named and shaped as the buffers: their values after this task"""
    metrics: Tensors
    """scalars: ``loss`` and, for classification, ``accuracy`` on the query set"""


class Algorithm(ABC):
    """A meta-learning method. Nothing here mutates its arguments or keeps anything between calls.

    Functions take one task; the caller batches them with ``torch.func.vmap``. Methods that compare
    embeddings derive from ``EmbeddingBased``, those with an inner loop from ``GradientBased``.

    Args:
        backbone: the network, a pure function of parameters and inputs.
        kind: ``classification`` or ``regression``.
        num_outputs: outputs of the head.

    Example: the class of the nearest support example, by the features of an untrained network.

        >>> class Nearest(Algorithm):
        ...     def adapt(self, state, support_x, support_y, ways, batch_norm):
        ...         features, _ = self.backbone.apply(state.params, support_x, None)
        ...         labels = torch.nn.functional.one_hot(support_y, ways).float()
        ...         return [(state, features, labels)]
        ...
        ...     def predict(self, adapted, x):
        ...         state, support, labels = adapted
        ...         queries, _ = self.backbone.apply(state.params, x, None)
        ...         return torch.softmax(-torch.cdist(queries, support), dim=-1) @ labels
        ...
        ...     def task_gradient(self, state, episode, ways, progress=0.0):
        ...         none = {name: torch.zeros_like(p) for name, p in state.params.items()}
        ...         return TaskGradient(none, state.buffers, {"loss": torch.tensor(0.0)})
        >>> from metaray.algorithms.models.mlp import MLP
        >>> method = Nearest(MLP((2,), widths=[8]), "classification", num_outputs=2)
        >>> state = method.init(seed=0)
        >>> points = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
        >>> adapted = method.adapt(state, points, torch.tensor([0, 1]), 2, "transductive")[-1]
        >>> method.predict(adapted, 1.1 * points).argmax(-1)
        tensor([0, 1])
    """

    def __init__(self, backbone: Backbone, kind: Kind, num_outputs: int) -> None:
        self.backbone = backbone
        self.kind = kind
        self.num_outputs = num_outputs

    def init(self, seed: int) -> State:
        """A fresh state in float32 on the CPU, the same for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        params, stats = self.backbone.init(generator)
        params |= init_head(generator, self.backbone.feature_dim, self.num_outputs)
        params = self.init_params(params, generator)
        return State(params, self.init_buffers(params, stats))

    @property
    def reported_steps(self) -> tuple[int, ...]:
        """The inner steps after which ``adapt`` gives a result; the last one is the method's."""
        return (0,)

    def init_params(self, network: Tensors, generator: torch.Generator) -> Tensors:
        """All meta-parameters, given those of backbone and head; by default no others."""
        return network

    def init_buffers(self, params: Tensors, stats: Tensors) -> Tensors:
        """What is carried beside the parameters; nothing by default."""
        return {}

    @abstractmethod
    def adapt(
        self,
        state: State,
        support_x: Tensor,
        support_y: Tensor,
        ways: int,
        batch_norm: BatchNormMode,
    ) -> list[Any]:
        """Learn from a support set. One result for each of ``reported_steps``."""

    @abstractmethod
    def predict(self, adapted: Any, x: Tensor) -> Tensor:
        """Outputs ``[B, num_outputs]`` for ``x`` ``[B, *input_shape]``."""

    @abstractmethod
    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """The meta-gradient of one training episode.

        ``progress`` is the share of all outer steps that are done, for methods that anneal.
        """

    @cached_property
    def body(self) -> Network:
        """The backbone as layers with rules, where it has them."""
        return network_of(self.backbone)

    rules = False
    """compute batches of tasks by layers whose derivatives are written out (``has_rules``)"""

    @property
    def has_rules(self) -> bool:
        """Whether method and network have layers with rules.

        A class from outside that derives from one of ours may compute something else than it, so
        it has rules only if it says so itself.
        """
        method, network = type(self), type(self.backbone)
        return (
            method.gradients_by_rules is not Algorithm.gradients_by_rules
            and _speaks_for(method, "gradients_by_rules")
            and _speaks_for(network, "layers")
            and self.backbone.layers() is not None
        )

    def gradients_by_rules(
        self, state: State, episodes: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient | None:
        """``task_gradient`` of T stacked episodes; every tensor has a leading task axis.

        None: the method has no rules.
        """
        return None

    def outputs_by_rules(
        self, state: State, episodes: Episode, ways: int, batch_norm: BatchNormMode
    ) -> Tensor | None:
        """``predict_by_step`` of T stacked episodes: ``[T, len(reported_steps), B, num_outputs]``.

        None where rules would not be faster: all tasks have the same network.
        """
        return None

    def precomputed(self, adapted: Any) -> Any:
        """``adapted`` with all computed that ``predict`` would compute again for each batch.

        For a trained method in use, whose batch norm is inductive; predictions are the same up to
        rounding. Nothing by default.
        """
        return adapted

    def unadapted(self, state: State) -> State:
        """The network alone, as it is before it learns a task."""
        return state

    def features(self, adapted: Any, x: Tensor) -> Tensor:
        """Features ``[B, F]`` of the adapted backbone, by which images are compared on pages.

        By default of an ``adapted`` with ``params`` and ``stats``, as the methods of metaray have.
        """
        features, _ = self.backbone.apply(adapted.params, x, adapted.stats)
        return features

    def predict_by_step(
        self, state: State, episode: Episode, ways: int, batch_norm: BatchNormMode
    ) -> Tensor:
        """Outputs for the query set, ``[len(reported_steps), B, num_outputs]``."""
        adapted = self.adapt(state, episode.support_x, episode.support_y, ways, batch_norm)
        return torch.stack([self.predict(one, episode.query_x) for one in adapted])


def _speaks_for(kind: type, function: str) -> bool:
    """Whether ``function`` of the class ``kind`` was written for what ``kind`` computes."""
    return kind.__module__.startswith("metaray.") or function in kind.__dict__


def curve_steps(num_steps: int) -> tuple[int, ...]:
    """The steps at which an adaptation curve is drawn: all up to 10, then 1-2-5 and the last.

    >>> curve_steps(3)
    (0, 1, 2, 3)
    >>> curve_steps(50)
    (0, 1, 2, 5, 10, 20, 50)
    """
    if num_steps <= 10:
        return tuple(range(num_steps + 1))
    marks = [m * 10**e for e in range(len(str(num_steps))) for m in (1, 2, 5)]
    return (0, *(m for m in marks if m < num_steps), num_steps)
