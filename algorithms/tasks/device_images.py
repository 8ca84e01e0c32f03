"""The images of a data set in the memory of a device, where episodes are put together by index.

The random choices are those of ``ImageEpisodes``, and so are the pixels, bit by bit: bytes become
numbers through a table that the CPU computed, since a device may divide by multiplying.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaray.algorithms.episode import BatchSpec, Episode, TaskSpec
from metaray.algorithms.tasks.image_episodes import (
    EpisodeDraw,
    ImageEpisodes,
    labels_of,
    unit_range,
)
from metaray.algorithms.tasks.source import EpisodeSource, episode_key

_SHARE = 0.25  # of the free memory that the images may take


class DeviceImages:
    """Episodes of ``source``, stacked, on ``device``."""

    def __init__(self, source: ImageEpisodes, device: torch.device) -> None:
        self._source = source
        self._device = device
        stored = [source.store.images(class_id) for class_id in range(len(source.store))]
        images = torch.from_numpy(np.concatenate(stored)).to(device)
        turned = range(1, 4 if source.rotations != "none" else 1)
        self._images = torch.cat([images, *(torch.rot90(images, k, (-2, -1)) for k in turned)])
        self._stored = len(images)
        self._starts = np.cumsum([0, *map(len, stored)])[:-1]
        self._values = unit_range(np.arange(256, dtype=np.uint8)).to(device)

    def sample(self, specs: Sequence[TaskSpec]) -> Episode:
        """The episodes of ``specs``, all of one shape."""
        draws = [self._source.draw(spec) for spec in specs]
        shots = specs[0].shape.shots
        parts: list[Tensor] = []
        for part, columns in enumerate((slice(None, shots), slice(shots, None))):
            orders = [draw.orders[part] for draw in draws]
            chosen = [self._rows(draw)[:, columns] for draw in draws]
            rows = [part.reshape(-1)[order] for part, order in zip(chosen, orders, strict=True)]
            labels = [labels_of(chosen[0].shape[1], order) for order in orders]
            parts += [self._gathered(rows), torch.stack(labels).to(self._device)]
        support_x, support_y, query_x, query_y = parts
        keys = self._keys([draw.rng for draw in draws])
        return Episode(support_x, support_y, query_x, query_y, keys)

    def sample_batches(self, specs: Sequence[BatchSpec]) -> Episode:
        """The mini-batches of ``specs``, all of one size."""
        draws = [self._source.draw_batch(spec) for spec in specs]
        rows = [self._starts[d.class_ids] + d.images + d.turns * self._stored for d in draws]
        x, y = self._gathered(rows), torch.stack([d.labels for d in draws]).to(self._device)
        return Episode(x[:, :0], y[:, :0], x, y, self._keys([draw.rng for draw in draws]))

    def _rows(self, draw: EpisodeDraw) -> NDArray[np.int64]:
        """Of the images of every class, ``[ways, shots + queries]``."""
        first = [self._starts[way.class_id] + way.turns * self._stored for way in draw.ways]
        return np.array(first)[:, None] + draw.images

    def _gathered(self, rows: Sequence[NDArray[np.int64]]) -> Tensor:
        """The images in ``rows``, float32 in [0, 1], ``[T, n, C, H, W]``."""
        index = torch.from_numpy(np.stack(rows)).to(self._device)
        return self._values[self._images[index].int()]

    def _keys(self, rngs: Sequence[np.random.Generator]) -> Tensor:
        return torch.stack([episode_key(rng) for rng in rngs]).to(self._device)


def images_on(device: torch.device, source: EpisodeSource) -> DeviceImages | None:
    """Those of ``source``, or None where its episodes are put together by the CPU.

    That is so for a source that is no set of images, or changes them, for a device that is no CUDA
    device, and for images that take more than a quarter of the memory that is free.
    """
    if device.type != "cuda" or not isinstance(source, ImageEpisodes):
        return None
    if source.augment or source.input_shape != source.store.header.image_shape:
        return None
    stored = sum(source.store.images(c).nbytes for c in range(len(source.store)))
    needed = stored * (1 if source.rotations == "none" else 4)
    if needed > _SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    return DeviceImages(source, device)
