"""A 3x3 convolution with padding 1 and no bias, as a batched matrix product over patches.

Patches ``c`` ``[T, n, 9 C]`` at the n positions of all images, against ``W`` ``[T, 9 C, O]``::

    y = c W      gW = c' gy      gx = fold(gy W')
    yd = c Wd + cd W             gWd = c' gyd + cd' gy       gxd = fold(gyd W' + gy Wd')

On small maps this is two to five times as fast as a grouped convolution, which ``vmap`` makes of
one whose weights differ between tasks.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.rules.layer import Layer, Params, Pulled


class Convolution(Layer):
    """``[T, B, H, W, C]`` to ``[T, B, H', W', O]``; the weight ``[O, C, 3, 3]`` is ``name``.

    Args:
        name: of the weight.
        size: height and width of the input.
        stride: 1 or 2.
        first: the input is the network's, of which no derivative is wanted: ``prepare`` cuts it
            into patches, once.
    """

    def __init__(self, name: str, size: tuple[int, int], stride: int, first: bool = False) -> None:
        self.names = (name,)
        self.name = name
        self.size = size
        self.stride = stride
        self.out = ((size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1)
        self._first = first

    @override
    def pack(self, name: str, value: Tensor) -> Tensor:
        return value.permute(0, 3, 4, 2, 1).flatten(1, 3)

    @override
    def unpack(self, name: str, value: Tensor) -> Tensor:
        weight: Tensor = value.unflatten(1, (3, 3, -1)).permute(0, 4, 3, 1, 2)
        return weight

    @override
    def prepare(self, x: Tensor, rows: int | None) -> Tensor:
        return self._patches(x.permute(0, 1, 3, 4, 2))

    @override
    def forward(self, p: Params, x: Tensor, rows: int | None) -> tuple[Tensor, Any]:
        c = x if self._first else self._patches(x)
        return self._map(torch.bmm(c, p[self.name])), c

    @override
    def backward(self, p: Params, tape: Any, gy: Tensor, need_x: bool) -> Pulled:
        gy = gy.flatten(1, 3)
        gw = torch.bmm(tape.transpose(1, 2), gy)
        gx = self._folded([(gy, p[self.name])]) if need_x and not self._first else None
        return Pulled(gx, {self.name: gw}, gy)

    @override
    def tangent(self, p: Params, tape: Any, pd: Params, xd: Tensor | None) -> tuple[Tensor, Any]:
        wd = pd.get(self.name)
        if xd is None:
            assert wd is not None
            return self._map(torch.bmm(tape, wd)), None
        cd = self._patches(xd)
        yd = torch.bmm(cd, p[self.name])
        if wd is not None:
            yd.baddbmm_(tape, wd)
        return self._map(yd), cd

    @override
    def backward_tangent(
        self,
        p: Params,
        tape: Any,
        memory: Any,
        pd: Params,
        moved: Any,
        gyd: Tensor,
        need_x: bool,
    ) -> Pulled:
        gy, cd, wd = memory, moved, pd.get(self.name)
        gyd = gyd.flatten(1, 3)
        gw = torch.bmm(tape.transpose(1, 2), gyd)
        if cd is not None:
            gw.baddbmm_(cd.transpose(1, 2), gy)
        gx = None
        if need_x and not self._first:
            gx = self._folded([(gyd, p[self.name]), *([(gy, wd)] if wd is not None else [])])
        return Pulled(gx, {self.name: gw})

    def _map(self, y: Tensor) -> Tensor:
        images: Tensor = y.unflatten(1, (-1, *self.out))
        return images

    def _patches(self, x: Tensor) -> Tensor:
        """``[T, n, 9 C]`` of ``[T, B, H, W, C]``."""
        return _taps(x, self.out, self.stride)

    def _folded(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The sum of ``fold(g W')`` over the pairs ``(g, W)``: the transpose of ``_patches``."""
        if self.stride == 1:  # a convolution with the kernel turned by half a circle
            total: Tensor | None = None
            for g, w in pairs:
                turned = w.unflatten(1, (9, -1)).flip(1).transpose(2, 3).flatten(1, 2)
                c = self._patches(self._map(g))
                total = torch.bmm(c, turned) if total is None else total.baddbmm_(c, turned)
            assert total is not None
            whole: Tensor = total.unflatten(1, (-1, *self.size))
            return whole
        (g, w), *others = pairs
        d = torch.bmm(g, w.transpose(1, 2))
        for g, w in others:
            d.baddbmm_(g, w.transpose(1, 2))
        return _fold_by_two(d.unflatten(1, (-1, *self.out)).unflatten(-1, (3, 3, -1)), self.size)


def _taps(x: Tensor, out: tuple[int, int], stride: int) -> Tensor:
    """3x3 patches of ``[T, B, H, W, C]``, padded by 1: ``[T, B * out, 9 C]``."""
    (tasks, images, height, width, channels), (rows, columns) = x.shape, out
    below = stride * (rows - 1) + 2 - height
    right = stride * (columns - 1) + 2 - width
    x = F.pad(x, (0, 0, 1, right, 1, below)).contiguous()
    t, b, h, w, c = x.stride()
    windows = x.as_strided(
        (tasks, images, rows, columns, 3, 3 * channels), (t, b, stride * h, stride * w, h, c)
    )
    return windows.reshape(tasks, images * rows * columns, 9 * channels)


def _fold_by_two(d: Tensor, size: tuple[int, int]) -> Tensor:
    """The transpose of ``_taps`` at stride 2: ``[T, B, H', W', 3, 3, C]`` to ``[T, B, H, W, C]``.

    An input pixel belongs to one, two or four patches, by whether its place is odd or even.
    """
    tasks, images, rows, columns, _, _, channels = d.shape
    x = d.new_empty(tasks, images, rows + 1, 2, columns + 1, 2, channels)
    x[:, :, rows] = 0
    x[:, :, :, :, columns] = 0
    x[:, :, :rows, :, :columns] = d[..., :2, :2, :].transpose(3, 4)
    x[:, :, 1:, 0, :columns] += d[..., 2, :2, :]
    x[:, :, :rows, :, 1:, 0] += d[..., :2, 2, :].transpose(3, 4)
    x[:, :, 1:, 0, 1:, 0] += d[..., 2, 2, :]
    padded = x.reshape(tasks, images, 2 * rows + 2, 2 * columns + 2, channels)
    return padded[:, :, 1 : 1 + size[0], 1 : 1 + size[1]]
