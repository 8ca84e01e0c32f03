"""Parts of a large data set by several processes, on the Ray of this process or a new one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar

from metaray.algorithms.tasks.parts import Chunk, Mapper

RAY_FROM = 20_000
"""images from which starting Ray, which takes some five seconds, is worth while"""


class Part(Protocol):
    """A piece of work on images."""

    @property
    def num_images(self) -> int:
        """How many."""


P = TypeVar("P", bound=Part)


def decoder(workers: int, at_least: int = RAY_FROM) -> Mapper:
    """How the parts of a data set are decoded.

    Args:
        workers: processes; 0 or 1 is this one.
        at_least: images; fewer are decoded in this process, as Ray takes seconds to start.
    """

    def decode(work: Callable[[Chunk], int], chunks: Sequence[Chunk]) -> Iterable[int]:
        return parallel_map(work, chunks, workers, at_least)

    return decode


def parallel_map(
    work: Callable[[P], int], parts: Sequence[P], workers: int, at_least: int
) -> Iterable[int]:
    """What ``work`` returns of each part, as they come; arguments as of ``decoder``."""
    images = sum(part.num_images for part in parts)
    if workers < 2 or len(parts) < 2 or images < at_least:
        return map(work, parts)
    return _on_ray(work, parts, workers)


def default_workers() -> int:
    """As many as this process has cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_ray(work: Callable[[P], int], parts: Sequence[P], workers: int) -> Iterator[int]:
    """Results as they come; at most ``workers`` parts are in flight, so memory is bounded."""
    import metaray
    from metaray.algorithms import plugins
    from metaray.cluster.connect import address_here, connected

    with connected(address_here(), metaray, plugins.files()):
        import ray  # which must be set up first
        from ray.exceptions import RayTaskError

        from metaray.platform.common.ray_errors import cause_of

        task = ray.remote(num_cpus=0, max_retries=3)(work)
        waiting = iter(parts)
        running = [task.remote(part) for part in islice(waiting, workers)]
        while running:
            (done,), running = ray.wait(running, num_returns=1)
            try:
                yield ray.get(done)
            except RayTaskError as error:
                raise cause_of(error) from None
            following = next(waiting, None)
            if following is not None:
                running.append(task.remote(following))
