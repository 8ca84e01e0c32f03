"""Losses that tell an image's other view from other images, by cosines.

NT-Xent: Chen, Kornblith, Norouzi & Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", ICML 2020 (arXiv 2002.05709), equation 1. For each of the 2N views, the softmax
runs over the 2N - 1 others.

InfoNCE with a queue: He, Fan, Wu, Xie & Girshick, "Momentum Contrast for Unsupervised Visual
Representation Learning", CVPR 2020 (arXiv 1911.05722), equation 1. For each query, the softmax
runs over its own key and those of the queue.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.embedding_based import unit_length


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """NT-Xent of two views ``[N, D]`` each of the same N images.

    Returns:
        The loss, and the share of views whose nearest other view is that of the same image.

    Raises:
        InputError: a single image has nothing to be told from.
    """
    n = len(first)
    if n < 2:
        raise InputError(
            f"a contrastive loss needs two images or more in a batch, got {n}: raise the batch size"
        )
    views = unit_length(torch.cat([first, second]))
    logits = views @ views.T / temperature
    itself = torch.eye(2 * n, dtype=torch.bool, device=logits.device)
    return _cross_entropy(
        logits.masked_fill(itself, -torch.inf), torch.arange(2 * n, device=logits.device).roll(n)
    )


def info_nce(
    queries: Tensor, keys: Tensor, queue: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """The loss of queries ``[N, D]``, whose keys ``[N, D]`` are told from a queue ``[K, D]``.

    Returns:
        The loss, and the share of queries to which no key is nearer than their own.
    """
    queries, keys = unit_length(queries), unit_length(keys)
    own = (queries * keys).sum(-1, keepdim=True)
    logits = torch.cat([own, queries @ queue.T], dim=-1) / temperature
    return _cross_entropy(logits, torch.zeros(len(queries), dtype=torch.int64, device=own.device))


def _cross_entropy(logits: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    hits = (logits.argmax(-1) == right).to(logits.dtype)
    return F.cross_entropy(logits, right), hits.mean()
