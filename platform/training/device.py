"""The process that computes: its device, threads and memory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch

from metaray.algorithms.errors import InputError
from metaray.platform.common.malloc_tuning import keep_freed_memory
from metaray.platform.common.torch_compiler import leave_compiler_out
from metaray.platform.config.schema import ComputeConfig


class GpuMemory(NamedTuple):
    """Of one GPU, in use by all programs."""

    used_bytes: int
    total_bytes: int


def prepare_process(workers: ComputeConfig) -> None:
    """Pin the CPU threads, whose number changes the order of floating-point sums; keep memory.

    TF32 is used only where ``workers.precision`` asks for it: torch's own default is to use it in
    the convolutions of a CUDA device.
    """
    keep_freed_memory()
    leave_compiler_out()
    torch.set_num_threads(workers.threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = workers.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = workers.precision == "tf32"


def dtype_of(workers: ComputeConfig) -> torch.dtype:
    """Of parameters and inputs."""
    return torch.float64 if workers.precision == "float64" else torch.float32


def autocast(workers: ComputeConfig, device: torch.device) -> Any:
    """The context in which layers compute."""
    if workers.precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def choose_device(workers: ComputeConfig) -> torch.device:
    """The device of a worker; ``auto`` is a GPU where one is reserved, or in process where one is.

    Raises:
        InputError: the device is not there.
    """
    name = workers.device
    if name == "auto":
        wanted = workers.gpus > 0 or workers.count == 0
        name = "cuda" if wanted and torch.cuda.is_available() else "cpu"
        if workers.gpus > 0 and name == "cpu":
            raise InputError(
                "workers.gpus reserves a GPU, but torch finds none: set workers.gpus=0"
            )
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"workers.device = {name!r}, but torch finds no CUDA device: use cpu or auto"
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise InputError("workers.device = 'mps', but torch finds no Apple GPU: use cpu or auto")
    if workers.precision == "tf32" and not name.startswith("cuda"):
        raise InputError(
            f"workers.precision = 'tf32' needs a CUDA device, and this run computes on {name}: use "
            "float32"
        )
    return torch.device(name)


def device_name(workers: ComputeConfig) -> str:
    """The device of a run, for people; that of workers on Ray without its model."""
    if workers.count == 0:
        device = choose_device(workers)
        is_cuda = device.type == "cuda"
        return f"{device} ({torch.cuda.get_device_name(device)})" if is_cuda else str(device)
    if workers.device == "auto":
        return "cuda" if workers.gpus > 0 else "cpu"
    return workers.device


def gpu_memory(device: torch.device) -> GpuMemory | None:
    """What is in use of a CUDA device; None for any other."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return GpuMemory(total - free, total)


def gpu_metrics(memories: Iterable[GpuMemory | None]) -> dict[str, float]:
    """Those of the fullest GPU, as a row of metrics has them; nothing where none is used."""
    on_gpu = [memory for memory in memories if memory is not None]
    if not on_gpu:
        return {}
    used, total = max(on_gpu, key=lambda memory: memory.used_bytes / memory.total_bytes)
    return {"gpu_memory_bytes": used, "gpu_memory_share": used / total}
