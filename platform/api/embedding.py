"""``embed``: a data set of images as a data set of features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaray.algorithms.paths import user_path
from metaray.platform.api.run import Run, place_of

if TYPE_CHECKING:
    from metaray.platform.inference.embedding import Embedding


def embed(
    encoder: Run | str | Path,
    data: str,
    out: str | Path,
    *,
    weights: str | None = None,
    workers: int | None = None,
    device: str = "auto",
    **settings: Any,
) -> Embedding:
    """Write the features of all images of a data set, by one pass of a frozen encoder.

    ``mr.datasets.Dataset("features", root=out)`` is the data set that it writes. Called again, it
    computes what is not there yet.

    Args:
        encoder: a run or its folder, one of its checkpoints, ``torchvision:ARCH`` or
            ``timm:ARCH``.
        data: name of the data set.
        out: a new folder.
        weights: file with the weights of such a network; ``download`` for torchvision's own.
        workers: processes on Ray; None: one a core, or this one where there is a GPU.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        **settings: of the data set, such as ``root``; size and channels of the images are those of
            the encoder unless set.

    Returns:
        The folder, the number of vectors and of their numbers, and their content hash.

    Raises:
        InputError: encoder or data are missing or do not fit, or the folder holds something else.
    """
    from metaray.platform.inference.embedding import embed as story

    return story(
        place_of(encoder),
        {"name": data, **settings},
        user_path(out),
        weights=weights,
        workers=workers,
        device=device,
    )
