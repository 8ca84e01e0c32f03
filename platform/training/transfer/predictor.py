"""Predictions and features of all images of a part, shared out over the processes of a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaray.algorithms.transfer.examples import Examples, Indices, Part
from metaray.platform.training.transfer.communicator import Communicator

Array = NDArray[Any]


@dataclass(frozen=True)
class BatchPredictor:
    """Runs a function of images over a part."""

    communicator: Communicator
    device: torch.device
    dtype: torch.dtype
    batch_size: int

    def outputs(
        self,
        function: Callable[[Tensor], Tensor],
        examples: Examples,
        part: Part,
        chosen: Indices | None = None,
    ) -> Array:
        """What ``function`` makes of the images of ``part`` (all, or ``chosen``), ``[n, K]``.

        The chunks are fixed by the batch size; each process computes some and gets all.
        """
        indices = np.arange(examples.count(part)) if chosen is None else chosen
        begins = range(0, len(indices), self.batch_size)
        rows: dict[int, Tensor] = {}
        with torch.no_grad():
            for number, begin in enumerate(begins):
                if number % self.communicator.size == self.communicator.rank:
                    chunk = indices[begin : begin + self.batch_size]
                    x = examples.images(part, chunk).to(self.device, self.dtype)
                    rows[begin] = function(x)
            if not rows:  # more processes than chunks: one still knows the shape from an image
                x = examples.images(part, indices[:1]).to(self.device, self.dtype)
                rows[0] = function(x)[:0]
            whole = self.communicator.gather(rows, len(indices))
        array: Array = whole.cpu().numpy()
        return array


def few_of_each(labels: Indices, most: int) -> Indices:
    """Indices of at most ``most`` images of each class, the first of each."""
    return np.sort(
        np.concatenate([np.flatnonzero(labels == label)[:most] for label in np.unique(labels)])
    )
