r"""The first convolution of a network, its batch norm, ReLU and pooling, from moments of patches.

The input does not depend on parameters, so the covariance of its patches is computed once for all
inner steps, and batch norm needs no pass over the layer's largest map. With centred patches ``c``
(n of them, 9 C numbers each) and ``M = c' c / n``, the normalised map is ``h = r c W``::

    forward            r = rsqrt(diag(W' M W) + eps)       a = relu([c, 1] [W r g; b])
    backward           z = [a > 0] ga    [Z; s] = [c, 1]' z    t = r diag(W' Z)
                       gW = g r (Z - M W r t)      dg = t      db = s
    tangent            u = r diag(W' M Wd)       V = r (Wd - W r u)     so hd = c V
                       ad = [a > 0] ([c, 1] [V g + W r gd; bd])
    its tangent        [Zd; sd] = [c, 1]' [a > 0] gad        td = r diag(W' Zd) + diag(V' Z)
                       gWd = g r (Zd - M V t - M W r td) - r u gW + gd r (Z - M W r t)
                       dgd = td     dbd = sd

The covariance is summed in float64: rounding of it in float32 would turn a ReLU over now and then.

The map is the largest of the network. It is computed for some images at a time, which stay in the
processor's cache until they are pooled, and it is not kept: derivatives pass where the maxima are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.models.norm import EPSILON
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.convolution import Convolution, after_stride, parts_of_map
from metaray.algorithms.rules.layer import Layer, Params, Pulled
from metaray.algorithms.rules.norm import norm_and_relu
from metaray.algorithms.rules.simple import MaxPool


class _Patches(NamedTuple):
    c: Tensor
    """``[T, B, H' W', 9 C + 1]``, centred; the last column is one"""
    covariance: Tensor
    """``[T, 9 C, 9 C]``"""
    mean: Tensor
    """``[T, 1, 9 C]``, before they were centred"""


class _Tape(NamedTuple):
    patches: _Patches
    y: Tensor
    """output ``[T, B, n, O]``, n its positions"""
    places: Tensor | None
    """where in the map each of them lies, as ``y``; None without pooling"""
    mw: Tensor
    r: Tensor


class _Moved(NamedTuple):
    u: Tensor
    v: Tensor
    mv: Tensor


class FirstBlock(Layer):
    """Images ``[T, B, C, H, W]`` to ``[T, B, H', W', O]``; arguments as of ``Convolution``.

    ``pool`` takes the maximum of each 2x2 of the map; of equal numbers the first counts.
    """

    def __init__(
        self, weight: str, norm: str, size: tuple[int, int], stride: int, pool: bool
    ) -> None:
        self.weight, self.scale, self.shift = self.names = (
            weight,
            f"{norm}.scale",
            f"{norm}.shift",
        )
        self._statistics = (f"{norm}.mean", f"{norm}.var")
        self._stride = stride
        self._pool = pool
        self._map = after_stride(size, stride)
        self._out = (self._map[0] // 2, self._map[1] // 2) if pool else self._map

    @override
    def pack(self, name: str, value: Tensor) -> Tensor:
        return value.flatten(2).transpose(1, 2) if name == self.weight else value

    @override
    def unpack(self, name: str, value: Tensor) -> Tensor:
        if name != self.weight:
            return value
        weight: Tensor = value.transpose(1, 2).unflatten(2, (-1, 3, 3))
        return weight

    @override
    def prepare(self, x: Tensor, rows: int | None) -> _Patches:
        c = _unfolded(x.flatten(0, 1), self._map, self._stride)
        c = c.unflatten(0, x.shape[:2]).transpose(2, 3)
        mean = c[:, :rows].mean((1, 2), keepdim=True)
        c = c - mean
        wide = c[:, :rows].flatten(1, 2).double()
        covariance = torch.bmm(wide.transpose(1, 2), wide).div_(wide.shape[1]).to(c.dtype)
        return _Patches(torch.cat([c, torch.ones_like(c[..., :1])], -1), covariance, mean[:, 0])

    @override
    def forward(self, p: Params, x: _Patches, rows: int | None) -> tuple[Tensor, Any]:
        w = p[self.weight]
        mw = torch.bmm(x.covariance, w)
        r = torch.rsqrt((w * mw).sum(1, keepdim=True) + EPSILON)
        folded = torch.cat([w * (r * p[self.scale][:, None]), p[self.shift][:, None]], 1)
        y, places = self._computed(x.c, folded)
        return self._shaped(y), _Tape(x, y, places, mw, r)

    @override
    def statistics(self, p: Params, tape: _Tape) -> Tensors:
        w = p[self.weight]
        mean = torch.bmm(tape.patches.mean, w)[:, 0]
        return dict(zip(self._statistics, (mean, (w * tape.mw).sum(1)), strict=True))

    @override
    def backward(self, p: Params, tape: _Tape, gy: Tensor, need_x: bool) -> Pulled:
        z, s = self._onto_patches(tape, gy)
        w, r = p[self.weight], tape.r
        t = (w * z).sum(1, keepdim=True).mul_(r)
        gw = (z - tape.mw * (r * t)).mul_(p[self.scale][:, None] * r)
        return Pulled(None, {self.weight: gw, self.scale: t[:, 0], self.shift: s}, (gw, z, t))

    @override
    def tangent(
        self, p: Params, tape: _Tape, pd: Params, xd: Tensor | None
    ) -> tuple[Tensor, _Moved]:
        w, r, scale = p[self.weight], tape.r, p[self.scale][:, None]
        if self.weight in pd:
            wd = pd[self.weight]
            mwd = torch.bmm(tape.patches.covariance, wd)
            u = (w * mwd).sum(1, keepdim=True).mul_(r)
            v = (wd - w * (r * u)).mul_(r)
            moved = _Moved(u, v, (mwd - tape.mw * (r * u)).mul_(r))
        else:
            still = torch.zeros_like(w)
            moved = _Moved(torch.zeros_like(r), still, still)
        folded = moved.v * scale
        if self.scale in pd:
            folded = folded + w * (r * pd[self.scale][:, None])
        shift = pd[self.shift] if self.shift in pd else torch.zeros_like(p[self.shift])
        return self._shaped(self._along(tape, torch.cat([folded, shift[:, None]], 1))), moved

    @override
    def backward_tangent(
        self,
        p: Params,
        tape: _Tape,
        memory: Any,
        pd: Params,
        moved: _Moved,
        gyd: Tensor,
        need_x: bool,
    ) -> Pulled:
        gw, z, t = memory
        zd, sd = self._onto_patches(tape, gyd)
        w, r, mw = p[self.weight], tape.r, tape.mw
        td = (w * zd).sum(1, keepdim=True).mul_(r) + (moved.v * z).sum(1, keepdim=True)
        gwd = (zd - moved.mv * t - mw * (r * td)).mul_(p[self.scale][:, None] * r)
        gwd.sub_(gw * (r * moved.u))
        if self.scale in pd:
            gwd.add_((z - mw * (r * t)) * (r * pd[self.scale][:, None]))
        return Pulled(None, {self.weight: gwd, self.scale: td[:, 0], self.shift: sd})

    def _computed(self, c: Tensor, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """The output, and where in the map each of its numbers lies."""
        y = c.new_empty(*c.shape[:2], self._out[0] * self._out[1], w.shape[-1])
        places = torch.empty_like(y, dtype=torch.int64) if self._pool else None
        for part in parts_of_map(c, w.shape[-1]):
            if places is None:
                torch.bmm(part.rows(c), w[part.tasks], out=part.rows(y)).relu_()
                continue
            a = torch.bmm(part.rows(c), w[part.tasks]).relu_()
            images = a.view(-1, *self._map, a.shape[-1]).permute(0, 3, 1, 2)
            for whole, pooled in zip(
                (y, places), F.max_pool2d(images, 2, return_indices=True), strict=True
            ):
                own = part.of(whole)
                own.copy_(pooled.permute(0, 2, 3, 1).reshape(own.shape))
        return y, places

    def _along(self, tape: _Tape, w: Tensor) -> Tensor:
        """``[c, 1] w`` where the output is not zero."""
        c, y = tape.patches.c, tape.y
        yd = torch.empty_like(y)
        for part in parts_of_map(c, w.shape[-1]):
            a = torch.bmm(part.rows(c), w[part.tasks])
            if tape.places is not None:
                index = part.of(tape.places)
                a = a.view(*index.shape[:2], -1, a.shape[-1]).gather(2, index)
            own = part.of(y)
            part.of(yd).copy_(torch.ops.aten.threshold_backward(a.view(own.shape), own, 0))
        return yd

    def _onto_patches(self, tape: _Tape, gy: Tensor) -> tuple[Tensor, Tensor]:
        """``c' z`` and the sum of ``z``, the derivative behind the ReLU."""
        c, y = tape.patches.c, tape.y
        gy = gy.reshape(y.shape)
        both = c.new_zeros(len(c), c.shape[-1], y.shape[-1])
        for part in parts_of_map(c, y.shape[-1]):
            z = torch.ops.aten.threshold_backward(part.of(gy), part.of(y), 0)
            if tape.places is not None:
                whole = z.new_zeros(*z.shape[:2], self._map[0] * self._map[1], z.shape[-1])
                z = whole.scatter_(2, part.of(tape.places), z)
            both[part.tasks].baddbmm_(part.rows(c).transpose(1, 2), z.flatten(1, 2))
        return both[:, :-1], both[:, -1]

    def _shaped(self, y: Tensor) -> Tensor:
        shaped: Tensor = y.unflatten(2, self._out)
        return shaped


def _unfolded(x: Tensor, out: tuple[int, int], stride: int) -> Tensor:
    """``F.unfold`` of 3x3 patches padded by 1 in one pass: ``[N, C, H, W]`` to ``[N, 9 C, n]``.

    torch takes one image after another, with a kernel for each on a GPU.
    """
    padded = F.pad(x, (1, 1, 1, 1))
    n, c, h, w = padded.stride()
    shape, strides = (*x.shape[:2], 3, 3, *out), (n, c, h, w, stride * h, stride * w)
    patches: Tensor = padded.as_strided(shape, strides).reshape(len(x), 9 * x.shape[1], -1)
    return patches


def conv_block(
    weight: str,
    norm: str,
    kind: NormKind,
    size: tuple[int, int],
    stride: int,
    pool: bool,
    first: bool,
) -> list[Layer]:
    """Convolution, norm, ReLU and pooling over images of ``size``; ``first`` of the network."""
    if first and kind == "batch":
        return [FirstBlock(weight, norm, size, stride, pool)]
    layers = [Convolution(weight, size, stride, first), norm_and_relu(kind, norm)]
    return [*layers, *([MaxPool()] if pool else [])]
