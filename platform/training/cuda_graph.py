"""A computation as one CUDA graph: its kernels are recorded once and then started together.

What starts kernels one by one is Python, which takes several times as long as the kernels of a
small shard. A graph runs the same kernels on the same numbers: its results have the same bits.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

Computation = Callable[..., Any]
"""Tensors to tensors, in any structure, with no value that the host reads or chooses in between."""

_WARM_UP = 3  # calls before a recording, in which libraries choose their kernels


class CudaGraph:
    """``compute`` recorded for inputs of the shapes, types and device of ``inputs``.

    Raises:
        RuntimeError: ``compute`` waits for the device, so it cannot be recorded.
    """

    def __init__(self, compute: Computation, inputs: Sequence[Tensor]) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                compute(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with _nothing_freed(), torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = compute(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Any:
        """The outputs at ``inputs``, which the next call overwrites."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._outputs


@contextmanager
def _nothing_freed() -> Iterator[None]:
    """No garbage collection: to free an earlier graph would end the recording of this one."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class CudaGraphs:
    """Computations with a graph for each shape of their inputs.

    One that cannot be recorded is called as it is; a warning says so once.
    """

    def __init__(self) -> None:
        self._graphs: dict[tuple[object, ...], CudaGraph | None] = {}

    def __call__(self, name: str, compute: Computation, *inputs: Tensor) -> Any:
        """``compute`` at ``inputs``; ``name`` stands for ``compute``, which may be a new object."""
        key = (name, *((tuple(tensor.shape), tensor.dtype) for tensor in inputs))
        if key not in self._graphs:
            self._graphs[key] = _recorded(compute, inputs)
        return (self._graphs[key] or compute)(*inputs)


def _recorded(compute: Computation, inputs: Sequence[Tensor]) -> CudaGraph | None:
    try:
        return CudaGraph(compute, inputs)
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        torch.cuda.synchronize()
        reason = str(error).splitlines()[0]
        warnings.warn(
            f"no CUDA graph of this method can be recorded ({reason}): it is computed without one, "
            "which takes longer",
            stacklevel=3,
        )
        return None
