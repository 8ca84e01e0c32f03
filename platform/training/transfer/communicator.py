"""The processes that share a batch: this one alone, or a group that adds vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.distributed as dist
from torch import Tensor
from typing_extensions import override


class PeerLostError(RuntimeError):
    """Another process of the group is gone, or its connection."""


class Communicator(ABC):
    """``size`` processes that compute the same steps, each its own shards."""

    rank: int
    size: int

    @abstractmethod
    def add(self, vector: Tensor) -> None:
        """Put the sum over all processes into ``vector``, in each of them.

        Raises:
            PeerLost: not all of them answer.
        """

    def gather(self, rows: dict[int, Tensor], total: int) -> Tensor:
        """Tensors of all processes, one below the other; gradients flow into one's own.

        Args:
            rows: own tensors ``[n, ...]``, at least one, by the row at which each begins.
            total: rows of all.
        """
        first = next(iter(rows.values()))
        whole = first.new_zeros((total, *first.shape[1:]))
        with torch.no_grad():
            for begin, part in rows.items():
                whole[begin : begin + len(part)] = part
            self.add(whole)
        if not first.requires_grad:
            return whole
        pieces, end = [], 0
        for begin, part in sorted(rows.items()):
            pieces += [whole[end:begin], part]
            end = begin + len(part)
        return torch.cat([*pieces, whole[end:]])


class SingleProcess(Communicator):
    """One process."""

    rank = 0
    size = 1

    @override
    def add(self, vector: Tensor) -> None:
        pass


class ProcessGroup(Communicator):
    """The default process group of torch, which must be there: gloo, or NCCL on GPUs."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    @override
    def add(self, vector: Tensor) -> None:
        if self.size == 1:
            return
        try:
            dist.all_reduce(vector)
        except RuntimeError as error:
            raise PeerLostError(str(error)) from error
