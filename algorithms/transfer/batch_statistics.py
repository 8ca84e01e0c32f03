"""Statistics to normalise by, for encoders whose training kept none.

MAML and related methods normalise by the current batch, so what they learned does not fit an image
by itself. Their statistics are estimated on batches of a data set under the final weights, as in
Wu & Johnson, "Rethinking 'Batch' in BatchNorm", 2021 (arXiv 2105.07576), section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors


def estimate_statistics(
    backbone: Backbone, params: Mapping[str, Tensor], batches: Iterable[Tensor]
) -> Tensors:
    """Mean and variance over ``batches`` of the same size ``[B, *input_shape]``, by norm layer.

    Empty for networks without batch norm.
    """
    means: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for x in batches:
            for name, value in backbone.apply(params, x, None)[1].items():
                means.setdefault(name, []).append(value)
    found = {name: torch.stack(values) for name, values in means.items()}
    stats: Tensors = {}
    for name, values in found.items():
        if name.endswith(".mean"):
            stats[name] = values.mean(0)
        else:  # the variance of all is that within batches and that of their means
            of_means = found[f"{name.removesuffix('.var')}.mean"].var(0, correction=0)
            stats[name] = values.mean(0) + of_means
    return stats
