"""Grey images as colour ones, and the other way round."""

from __future__ import annotations

from torch import Tensor


def converted(x: Tensor, channels: int) -> Tensor:
    """``x`` ``[n, 1 or 3, H, W]`` with ``channels``: grey is repeated, colour becomes its luma
    (ITU-R BT.601)."""
    if x.shape[1] == channels:
        return x
    if x.shape[1] == 1:
        return x.repeat(1, 3, 1, 1)
    red, green, blue = x.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)
