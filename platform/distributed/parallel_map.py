"""Decoding a large data set by several processes, on the Ray of this process or a new one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from metaray.algorithms.tasks.parts import Chunk, Mapper

RAY_FROM = 20_000
"""images from which starting Ray, which takes some five seconds, is worth while"""

Work = Callable[[Chunk], int]


def decoder(workers: int, at_least: int = RAY_FROM) -> Mapper:
    """How the parts of a data set are decoded.

    Args:
        workers: processes; 0 or 1 is this one.
        at_least: images; fewer are decoded in this process, as Ray takes seconds to start.
    """

    def decode(work: Work, chunks: Sequence[Chunk]) -> Iterable[int]:
        images = sum(chunk.num_images for chunk in chunks)
        if workers < 2 or len(chunks) < 2 or images < at_least:
            return map(work, chunks)
        return _on_ray(work, chunks, workers)

    return decode


def default_workers() -> int:
    """As many as this process has cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_ray(work: Work, chunks: Sequence[Chunk], workers: int) -> Iterator[int]:
    """Results as they come; at most ``workers`` chunks are in flight, so memory is bounded."""
    import metaray
    from metaray.algorithms import plugins
    from metaray.cluster.connect import address_here, connected

    with connected(address_here(), metaray, plugins.files()):
        import ray  # which must be set up first
        from ray.exceptions import RayTaskError

        from metaray.platform.common.ray_errors import cause_of

        task = ray.remote(num_cpus=0, max_retries=3)(work)
        waiting = iter(chunks)
        running = [task.remote(chunk) for chunk in islice(waiting, workers)]
        while running:
            (done,), running = ray.wait(running, num_returns=1)
            try:
                yield ray.get(done)
            except RayTaskError as error:
                raise cause_of(error) from None
            following = next(waiting, None)
            if following is not None:
                running.append(task.remote(following))
