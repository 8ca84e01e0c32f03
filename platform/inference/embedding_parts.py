"""An embedding in parts of a few hundred images: computed anywhere, in any order, with equal bits.

Each part is written atomically, so that an embedding that was stopped finds the parts that are
done. Parts and batches are cut by the order of the images alone, and a CPU computes with one
thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from metaray.algorithms.algorithm import State
from metaray.algorithms.atomic import atomic_path
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.tasks.channels import converted
from metaray.algorithms.tasks.content import ImageClass, Images, Vectors
from metaray.algorithms.tasks.image_episodes import ImageEpisodes, unit_range
from metaray.algorithms.tasks.store import ImageStore
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.inference.encoders import computing, features_of
from metaray.platform.inference.frozen_encoder import encoder_state, encoder_tensors
from metaray.platform.training.device import choose_device

_PART = 256  # images
_BATCH = 64  # images that are computed at once


@dataclass(frozen=True, kw_only=True)
class FrozenNetwork:
    """A network whose tensors are in a file."""

    build: Callable[[], Backbone] = field(compare=False)
    channels: int
    """of its inputs"""
    file: Path
    sha256: str
    """of the tensors"""
    compute: ComputeConfig


@dataclass(frozen=True, kw_only=True)
class EmbeddingPart:
    """Consecutive images, and the file for their features. Small when it is pickled."""

    path: Path
    store: ImageStore
    rows: tuple[tuple[int, int, int], ...]
    """class, first and last image, half open"""
    network: FrozenNetwork

    @property
    def num_images(self) -> int:
        """Images to embed."""
        return sum(last - first for _, first, last in self.rows)


def save_network(state: State, file: Path) -> None:
    """Write the tensors of a network."""
    tensors = encoder_tensors(state)
    with atomic_path(file) as temporary:
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)


def parts_of(source: ImageEpisodes, folder: Path, network: FrozenNetwork) -> list[EmbeddingPart]:
    """All images of ``source``, class after class."""
    store = source.store
    parts: list[EmbeddingPart] = []
    rows: list[tuple[int, int, int]] = []
    room = _PART

    def close() -> None:
        path = folder / f"{len(parts):06d}.npy"
        parts.append(EmbeddingPart(path=path, store=store, rows=tuple(rows), network=network))
        rows.clear()

    for class_id in range(len(store)):
        first, count = 0, len(store.images(class_id))
        while first < count:
            last = min(count, first + room)
            rows.append((class_id, first, last))
            room -= last - first
            first = last
            if not room:
                close()
                room = _PART
    if rows:
        close()
    return parts


def embed_part(part: EmbeddingPart) -> int:
    """Compute the features of ``part`` and write them; the number of its images."""
    images = np.concatenate([part.store.images(c)[a:b] for c, a, b in part.rows])
    features = _features(images, part.network)
    with atomic_path(part.path, durable=False) as temporary, temporary.open("wb") as file:
        np.save(file, features)
    return part.num_images


def read_part(part: EmbeddingPart) -> Vectors | None:
    """The features of ``part``; None where they are not there or damaged, and to be computed."""
    try:
        found: Vectors = np.load(part.path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == part.num_images else None


def embedded_classes(parts: Sequence[EmbeddingPart], store: ImageStore) -> Iterator[ImageClass]:
    """The features class by class, one class in memory at a time."""
    header, pieces = store.header, list[Vectors]()
    for part in parts:
        features, start = read_part(part), 0
        assert features is not None  # all were computed
        for class_id, first, last in part.rows:
            pieces.append(features[start : start + last - first])
            start += last - first
            if last == len(store.images(class_id)):
                name, group = header.class_names[class_id], header.class_groups[class_id]
                yield ImageClass(name, group, np.concatenate(pieces))
                pieces.clear()


def _features(images: Images, network: FrozenNetwork) -> Vectors:
    with computing(network.compute) as device:
        backbone, state = _opened(network)
        found = []
        for first in range(0, len(images), _BATCH):
            x = unit_range(images[first : first + _BATCH]).to(device)
            found.append(features_of(backbone, state, converted(x, network.channels)))
    features: Vectors = torch.cat(found).numpy()
    return features


@lru_cache(maxsize=1)
def _opened(network: FrozenNetwork) -> tuple[Backbone, State]:
    """Once in each process."""
    device = choose_device(network.compute)
    tensors = {name: tensor.to(device) for name, tensor in load_file(network.file).items()}
    return network.build(), encoder_state(tensors)
