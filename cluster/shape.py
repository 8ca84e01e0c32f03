"""How large the cluster of this machine is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ClusterShape:
    """How many nodes, and what each offers."""

    workers: int
    """nodes beside the head, which leads and offers nothing if there are others"""
    cpus: int
    """CPUs of each node"""
    gpus: int
    """GPUs of each node"""

    @property
    def text(self) -> str:
        """For people."""
        each = f"{self.cpus} CPU" + (f" and {self.gpus} GPU" if self.gpus else "")
        if not self.workers:
            return f"a head with {each}"
        return f"a head and {self.workers} worker node{'s' * (self.workers > 1)} of {each}"

    def gpus_of(self, index: int) -> str:
        """``CUDA_VISIBLE_DEVICES`` of a worker node, by its number from 0."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = visible.split(",") if visible else list(map(str, range(self.workers * self.gpus)))
        return ",".join(names[index * self.gpus : (index + 1) * self.gpus])


def default_shape(
    workers: int | None = None, cpus: int | None = None, gpus: int | None = None
) -> ClusterShape:
    """What is not given: one worker node; nodes divide the cores and GPUs of this machine."""
    workers = 1 if workers is None else workers
    nodes = max(1, workers)
    return ClusterShape(
        workers=workers,
        cpus=max(1, (os.cpu_count() or 1) // nodes) if cpus is None else cpus,
        gpus=_gpus_here() // nodes if gpus is None else gpus,
    )


def _gpus_here() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
