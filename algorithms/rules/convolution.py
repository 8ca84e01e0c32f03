"""A 3x3 convolution with padding 1 and no bias, as a batched matrix product over patches.

Patches ``c`` ``[T, n, 9 C]`` at the n positions of all images, against ``W`` ``[T, 9 C, O]``::

    y = c W      gW = c' gy      gx = fold(gy W')
    yd = c Wd + cd W             gWd = c' gyd + cd' gy       gxd = fold(gyd W' + gy Wd')

On small maps this is two to five times as fast as a grouped convolution, which ``vmap`` makes of
one whose weights differ between tasks. Patches are nine times the input. Few of them are kept for
the derivatives. Many are cut for some images at a time, which stay in the processor's cache, and
cut again where they are needed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.rules.layer import Layer, Params, Pulled

_KEPT = 2**21  # numbers in patches that are kept, on a CPU: 8 megabytes
_AT_ONCE = 2**18  # numbers in patches that are cut together where they are not kept


class Part(NamedTuple):
    """Images that are computed together: all of some tasks, or some of one task."""

    tasks: slice
    images: slice

    @property
    def first(self) -> bool:
        """Whether they are the first of their tasks."""
        return bool(self.images.start == 0)

    def of(self, x: Tensor) -> Tensor:
        """The part of ``x`` ``[T, B, ...]``: a view."""
        return x[self.tasks, self.images]

    def rows(self, x: Tensor) -> Tensor:
        """The same as ``[t, n, C]``, of a contiguous ``x``."""
        part = self.of(x)
        return part.view(part.shape[0], -1, part.shape[-1])


class _Patches:
    """The 3x3 patches of ``x`` ``[T, B, H, W, C]``, padded by 1, for a map of size ``out``."""

    def __init__(self, x: Tensor, out: tuple[int, int], stride: int) -> None:
        self.x, self._out, self._stride = x, out, stride
        self._kept: Tensor | None = None

    def of(self, part: Part) -> Tensor:
        """``[t, n, 9 C]``."""
        if self._kept is not None:
            return self._kept
        x = part.of(self.x)
        patches = _cut(x, self._out, self._stride)
        if len(x) == len(self.x) and x.shape[1] == self.x.shape[1]:
            self._kept = patches
        return patches


class Convolution(Layer):
    """``[T, B, H, W, C]`` to ``[T, B, H', W', O]``; the weight ``[O, C, 3, 3]`` is ``name``.

    Args:
        name: of the weight.
        size: height and width of the input.
        stride: 1 or 2.
        first: the input is the network's, of which no derivative is wanted.
    """

    def __init__(self, name: str, size: tuple[int, int], stride: int, first: bool = False) -> None:
        self.names = (name,)
        self.name = name
        self.size = size
        self.stride = stride
        self.out = after_stride(size, stride)
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
        return x.permute(0, 1, 3, 4, 2)

    @override
    def forward(self, p: Params, x: Tensor, rows: int | None) -> tuple[Tensor, Any]:
        c = self._patches(x)
        return self._map([(c, p[self.name])]), c

    @override
    def backward(self, p: Params, tape: Any, gy: Tensor, need_x: bool) -> Pulled:
        gy = gy.contiguous()
        gx = self._folded([(gy, p[self.name])]) if need_x and not self._first else None
        return Pulled(gx, {self.name: self._correlated([(tape, gy)])}, gy)

    @override
    def tangent(self, p: Params, tape: Any, pd: Params, xd: Tensor | None) -> tuple[Tensor, Any]:
        cd = None if xd is None else self._patches(xd)
        pairs = [] if cd is None else [(cd, p[self.name])]
        if self.name in pd:
            pairs.append((tape, pd[self.name]))
        return self._map(pairs), cd

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
        gy, cd, gyd = memory, moved, gyd.contiguous()
        gw = self._correlated([(tape, gyd), *([(cd, gy)] if cd is not None else [])])
        gx = None
        if need_x and not self._first:
            moves = [(gy, pd[self.name])] if self.name in pd else []
            gx = self._folded([(gyd, p[self.name]), *moves])
        return Pulled(gx, {self.name: gw})

    def _patches(self, x: Tensor) -> _Patches:
        return _Patches(x, self.out, self.stride)

    def _map(self, pairs: list[tuple[_Patches, Tensor]]) -> Tensor:
        """The sum of ``c W`` over the pairs."""
        x, w = pairs[0][0].x, pairs[0][1]
        y = x.new_empty(*x.shape[:2], *self.out, w.shape[-1])
        for part in _parts(y, x.shape[-1]):
            products = ((c.of(part), w[part.tasks]) for c, w in pairs)
            _sum_of_products(products, part.rows(y))
        return y

    def _correlated(self, pairs: list[tuple[_Patches, Tensor]]) -> Tensor:
        """The sum of ``c' g`` over the pairs; ``g`` is a derivative of the output."""
        x, g = pairs[0][0].x, pairs[0][1]
        gw = x.new_empty(x.shape[0], 9 * x.shape[-1], g.shape[-1])
        for part in _parts(g, x.shape[-1]):
            products = ((c.of(part).transpose(1, 2), part.rows(g)) for c, g in pairs)
            _sum_of_products(products, gw[part.tasks], fresh=part.first)
        return gw

    def _folded(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The sum of ``fold(g W')`` over the pairs of a derivative of the output and a weight."""
        g, w = pairs[0]
        channels = w.shape[1] // 9
        gx = g.new_empty(*g.shape[:2], *self.size, channels)
        if self.stride == 1:  # a convolution with the kernel turned by half a circle
            turned = [(g, _turned(w)) for g, w in pairs]
            for part in _parts(gx, g.shape[-1]):
                products = ((_cut(part.of(g), self.size, 1), w[part.tasks]) for g, w in turned)
                _sum_of_products(products, part.rows(gx))
            return gx
        for part in _parts(g, channels):
            rows = part.rows(g)
            d = g.new_empty(*rows.shape[:2], 9 * channels)
            products = ((part.rows(g), w[part.tasks].transpose(1, 2)) for g, w in pairs)
            _sum_of_products(products, d)
            taps = d.view(len(rows), -1, *self.out, 3, 3, channels)
            part.of(gx).copy_(_fold_by_two(taps, self.size))
        return gx


def _turned(w: Tensor) -> Tensor:
    """Weights ``[T, 9 C, O]`` of the transposed convolution at stride 1: ``[T, 9 O, C]``."""
    turned: Tensor = w.unflatten(1, (9, -1)).flip(1).transpose(2, 3)
    return turned.flatten(1, 2)


def _sum_of_products(
    pairs: Iterator[tuple[Tensor, Tensor]], out: Tensor, fresh: bool = True
) -> None:
    """The sum of the matrix products ``[t, n, m]`` into ``out``, on top of it unless ``fresh``."""
    for a, b in pairs:
        if fresh:
            torch.bmm(a, b, out=out)
        else:
            out.baddbmm_(a, b)
        fresh = False


def after_stride(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Height and width of what such a convolution makes of images of ``size``."""
    return (size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1


def _parts(out: Tensor, channels: int) -> Iterator[Part]:
    """Images of a map ``out`` ``[T, B, H', W', O]`` whose patches of ``channels`` fit the cache."""
    tasks, images, height, width = out.shape[:4]
    image = height * width * 9 * channels
    whole = out.device.type != "cpu" or tasks * images * image <= _KEPT
    return _divided(tasks, images, 0 if whole else image)


def parts_of_map(c: Tensor, channels: int) -> Iterator[Part]:
    """Images of patches ``c`` ``[T, B, n, K]`` whose map of ``channels`` fits the cache."""
    tasks, images, positions = c.shape[:3]
    return _divided(tasks, images, 0 if c.device.type != "cpu" else positions * channels)


def _divided(tasks: int, images: int, image: int) -> Iterator[Part]:
    """Parts of ``_AT_ONCE`` numbers, of which an image takes ``image``; 0: all in one."""
    together, some = tasks, images
    if image:
        together = max(1, _AT_ONCE // (images * image))
        some = max(1, min(images, _AT_ONCE // image))
    for task in range(0, tasks, together):
        for first in range(0, images, some):
            yield Part(slice(task, task + together), slice(first, first + some))


def _cut(x: Tensor, out: tuple[int, int], stride: int) -> Tensor:
    """3x3 patches of ``[t, b, H, W, C]``, padded by 1: ``[t, b * out, 9 C]``."""
    (tasks, images, height, width, channels), (rows, columns) = x.shape, out
    tall, wide = stride * (rows - 1) + 3, stride * (columns - 1) + 3
    padded = x.new_empty(tasks, images, tall, wide, channels)
    padded[:, :, 0] = 0
    padded[:, :, height + 1 :] = 0
    padded[:, :, :, 0] = 0
    padded[:, :, :, width + 1 :] = 0
    padded[:, :, 1 : height + 1, 1 : width + 1] = x
    t, b, h, w, c = padded.stride()
    windows = padded.as_strided(
        (tasks, images, rows, columns, 3, 3 * channels), (t, b, stride * h, stride * w, h, c)
    )
    return windows.reshape(tasks, images * rows * columns, 9 * channels)


def _fold_by_two(d: Tensor, size: tuple[int, int]) -> Tensor:
    """The transpose of ``_cut`` at stride 2: ``[t, b, H', W', 3, 3, C]`` to ``[t, b, H, W, C]``.

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
    padded = x.view(tasks, images, 2 * rows + 2, 2 * columns + 2, channels)
    return padded[:, :, 1 : 1 + size[0], 1 : 1 + size[1]]
