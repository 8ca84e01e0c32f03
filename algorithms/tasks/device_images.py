"""The images of a data set in the memory of a device, where episodes are put together by index.

The random choices are those of ``ImageEpisodes``, and so are the pixels, bit by bit: bytes become
numbers through a table that the CPU computed, since a device may divide by multiplying.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metaray.algorithms.episode import BatchSpec, Episode, TaskSpec
from metaray.algorithms.tasks.class_episodes import BatchDraw, Chosen, EpisodeDraw, Way
from metaray.algorithms.tasks.image_episodes import ImageEpisodes, unit_range
from metaray.algorithms.tasks.source import EpisodeSource, episode_key

_SHARE = 0.25  # of the free memory that the images may take


class Rows(NamedTuple):
    """T stacked episodes on the CPU, with the rows of their images in place of the images."""

    support: Tensor  # [T, N*K]
    support_y: Tensor  # [T, N*K]
    query: Tensor  # [T, N*Q]
    query_y: Tensor  # [T, N*Q]
    key: Tensor  # [T]


class DeviceImages:
    """The images of ``source`` on ``device``. Row ``turns * images + image`` is one of them."""

    def __init__(self, source: ImageEpisodes, device: torch.device) -> None:
        self._source = source
        self._device = device
        stored = [source.store.images(class_id) for class_id in range(len(source.store))]
        images = torch.from_numpy(np.concatenate(stored)).to(device)
        turned = range(1, 4 if source.ever_turned else 1)
        self._images = torch.cat([images, *(torch.rot90(images, k, (-2, -1)) for k in turned)])
        self._stored = len(images)
        self._starts = np.cumsum([0, *map(len, stored)])[:-1]
        self._values = unit_range(np.arange(256, dtype=np.uint8)).to(device)

    def rows(self, specs: Sequence[TaskSpec]) -> Rows:
        """Of the episodes of ``specs``, all with as many classes and support examples."""
        draws = [self._source.draw(spec) for spec in specs]
        support, query = (
            [self._rows_of(draw.ways, chosen) for draw, chosen in zip(draws, sets, strict=True)]
            for sets in ([draw.support for draw in draws], [draw.query for draw in draws])
        )
        return Rows(*_stacked(support), *_stacked(query), _keys(draws))

    def batch_rows(self, specs: Sequence[BatchSpec]) -> Rows:
        """Of the mini-batches of ``specs``, all of one size."""
        draws = [self._source.draw_batch(spec) for spec in specs]
        rows = [self._starts[d.class_ids] + d.images + d.turns * self._stored for d in draws]
        x, y = torch.from_numpy(np.stack(rows)), torch.stack([d.labels for d in draws])
        return Rows(x[:, :0], y[:, :0], x, y, _keys(draws))

    def episodes(self, rows: Rows) -> Episode:
        """With their images, float32 in [0, 1], on the device."""
        support, support_y, query, query_y, key = (part.to(self._device) for part in rows)
        return Episode(self._gathered(support), support_y, self._gathered(query), query_y, key)

    def _rows_of(self, ways: Sequence[Way], chosen: Chosen) -> tuple[Tensor, Tensor]:
        """Of the images of a support or a query set, and their labels."""
        first = [self._starts[way.class_id] + way.turns * self._stored for way in ways]
        rows = np.array(first)[chosen.labels] + chosen.places
        return torch.from_numpy(rows), torch.from_numpy(chosen.labels)

    def _gathered(self, rows: Tensor) -> Tensor:
        return self._values[self._images[rows].int()]


def _stacked(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    rows, labels = zip(*parts, strict=True)
    return torch.stack(rows), torch.stack(labels)


def _keys(draws: Sequence[EpisodeDraw | BatchDraw]) -> Tensor:
    return torch.stack([episode_key(draw.rng) for draw in draws])


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
    needed = stored * (4 if source.ever_turned else 1)
    if needed > _SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    return DeviceImages(source, device)
