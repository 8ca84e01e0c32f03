"""The processes that share a batch: this one alone, or a group that adds vectors.

Sums are taken in one order for any number of processes, so that the bits of a job do not depend on
it. An all-reduce would move fewer bytes, but adds in an order that depends on the group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

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
    exchange_s = 0.0
    """seconds that this process spent on exchanging with the others, and waiting for them"""

    @abstractmethod
    def sum_in_order(self, own: Iterable[Tensor], owners: Sequence[int]) -> Tensor:
        """The sum of one vector of each place in ``owners``, in this order, in each process.

        Args:
            own: vectors of this process in the order of its places, which may be changed; a
                process without a place gives one for its shape.
            owners: the process that has each vector.

        Raises:
            PeerLostError: not all of them answer.
        """

    @abstractmethod
    def fill(self, whole: Tensor) -> None:
        """Put what each process has where others have zeros into ``whole``, in each of them.

        Raises:
            PeerLostError: not all of them answer.
        """

    def gather(self, rows: dict[int, Tensor], total: int) -> Tensor:
        """Tensors of all processes, one below the other, without their graphs.

        Args:
            rows: own tensors ``[n, ...]``, at least one, by the row at which each begins.
            total: rows of all.
        """
        first = next(iter(rows.values()))
        whole = first.new_zeros((total, *first.shape[1:]))
        with torch.no_grad():
            for begin, part in rows.items():
                whole[begin : begin + len(part)] = part
            self.fill(whole)
        return whole


class SingleProcess(Communicator):
    """One process."""

    rank = 0
    size = 1

    @override
    def sum_in_order(self, own: Iterable[Tensor], owners: Sequence[int]) -> Tensor:
        vectors = iter(own)
        total = next(vectors)
        for vector in vectors:
            total += vector
        return total

    @override
    def fill(self, whole: Tensor) -> None:
        pass


class ProcessGroup(Communicator):
    """The default process group of torch, which must be there: gloo, or NCCL on GPUs."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    @override
    def sum_in_order(self, own: Iterable[Tensor], owners: Sequence[int]) -> Tensor:
        vectors = list(own)  # computed before this process waits for any other
        total, received = torch.empty_like(vectors[0]), torch.empty_like(vectors[0])
        mine = iter(vectors)
        with self._exchange():
            for place, owner in enumerate(owners):
                part = next(mine) if owner == self.rank else received
                dist.broadcast(part, owner)
                if place:
                    total += part
                else:
                    total.copy_(part)
        return total

    @override
    def fill(self, whole: Tensor) -> None:
        with self._exchange():
            dist.all_reduce(whole)

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        except RuntimeError as error:
            raise PeerLostError(str(error)) from error
        finally:
            self.exchange_s += perf_counter() - started
