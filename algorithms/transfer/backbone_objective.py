"""What objectives share that train a backbone and further parts."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.errors import InputError
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.objective import NOTHING, Networks, Objective, Start


class BackboneObjective(Objective):
    """A backbone under its own names; names of all else begin with one of ``own_parts``."""

    own_parts: ClassVar[tuple[str, ...]]

    def __init__(self, networks: Networks) -> None:
        self.backbone = networks.backbone

    @override
    def init(self, seed: int, start: Start = NOTHING) -> State:
        """The backbone and what stands beside it; running statistics are among the buffers."""
        generator = torch.Generator().manual_seed(seed)
        params, stats = start.encoder or self.backbone.init(generator)
        params = params | self.init_own(generator)
        return State(params, stats | self.init_buffers(params, start, generator))

    def init_own(self, generator: torch.Generator) -> Tensors:
        """Parameters beside the backbone's."""
        return {}

    def init_buffers(self, params: Tensors, start: Start, generator: torch.Generator) -> Tensors:
        """Buffers beside the running statistics; none by default."""
        return {}

    def train_features(
        self, params: Tensors, x: Tensor, key: Tensor | None
    ) -> tuple[Tensor, Tensors]:
        """Features ``[B, F]`` normalised by the batch ``x`` itself, and the statistics used.

        Raises:
            InputError: the batch is a single image, and the network has batch norm.
        """
        features, batch_stats = self.backbone.apply(params, x, None, key)
        if batch_stats and len(x) < 2:
            raise InputError(
                "batch norm needs two images or more at a time, got a shard of one: raise the "
                "size of batch and shards, or set model.norm = group"
            )
        return features, batch_stats

    @override
    def features(self, state: State, x: Tensor) -> Tensor:
        return self.backbone.apply(state.params, x, state.buffers)[0]

    @override
    def encoder(self, state: State) -> State:
        """All but ``own_parts``."""
        params, buffers = (self._of_backbone(tensors) for tensors in state)
        return State(params, buffers)

    def _of_backbone(self, tensors: Tensors) -> Tensors:
        return {n: t for n, t in tensors.items() if n.split(".")[0] not in self.own_parts}


def detached(metrics: Tensors) -> Tensors:
    """Metrics to log, without the graph that they come from."""
    return {name: figure.detach() for name, figure in metrics.items()}
