"""Norms with the ReLU that follows them: fewer passes over memory than one layer after the other.

With ``E`` the mean over what is normalised together (n numbers), ``g`` scale and ``b`` shift::

    forward            r = rsqrt(E((y - E y)^2) + eps)    h = (y - E y) r    a = relu(g h + b)
    backward           z = [a > 0] ga    q = g z    s = E(q)    t = E(q h)
                       gy = r (q - s - h t)         dg = sum z h      db = sum z
    tangent            u = E(yd h)       hd = r (yd - E(yd) - h u)
                       ad = [a > 0] (g hd + gd h + bd)
    its tangent        zd = [a > 0] gad  qd = g zd + gd z   sd = E(qd)   td = E(qd h + q hd)
                       gyd = r (qd - sd - hd t - h td) - r u gy
                       dgd = sum (zd h + z hd)      dbd = sum zd

Batch norm has one ``g`` for all that it normalises together, so its sums serve both.
"""

from __future__ import annotations

from math import gcd
from typing import Any, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.models.norm import EPSILON, GROUP
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.layer import Layer, Params, Pulled


class _Tape(NamedTuple):
    h: Tensor
    """normalised"""
    a: Tensor
    """output"""
    r: Tensor
    """one over the standard deviation"""
    rows: int
    """positions that the statistics are of"""
    shape: torch.Size
    mean: Tensor
    var: Tensor


class _Memory(NamedTuple):
    gy: Tensor
    z: Tensor
    s: Tensor
    t: Tensor


class _Moved(NamedTuple):
    hd: Tensor | None
    u: Tensor | None


class BatchNormReLU(Layer):
    """``[T, B, H, W, C]`` or ``[T, B, C]``, normalised by channel over the examples of a task.

    With statistics of the first ``rows`` images, a support set decides how queries are normalised.
    """

    def __init__(self, prefix: str) -> None:
        self.scale, self.shift = self.names = (f"{prefix}.scale", f"{prefix}.shift")
        self._statistics = (f"{prefix}.mean", f"{prefix}.var")

    @override
    def forward(self, p: Params, x: Tensor, rows: int | None) -> tuple[Tensor, Any]:
        y = x.flatten(1, -2)
        first = y.shape[1] if rows is None else rows * (y.shape[1] // x.shape[1])
        mean = y[:, :first].mean(1, keepdim=True)
        h = y - mean
        var = _mean_of_squares(h[:, :first])
        r = torch.rsqrt(var + EPSILON)
        h.mul_(r)
        a = torch.addcmul(_row(p[self.shift]), h, _row(p[self.scale])).relu_()
        return a.view(x.shape), _Tape(h, a, r, first, x.shape, mean, var)

    @override
    def statistics(self, p: Params, tape: _Tape) -> Tensors:
        return dict(zip(self._statistics, (tape.mean[:, 0], tape.var[:, 0]), strict=True))

    @override
    def backward(self, p: Params, tape: _Tape, gy: Tensor, need_x: bool) -> Pulled:
        h, n = tape.h, tape.rows
        z = _masked(gy.reshape(h.shape), tape.a)
        s, t = z.sum(1, keepdim=True), _sum_of_products(z, h)
        grads = {self.scale: t[:, 0], self.shift: s[:, 0]}
        s, t = s / n, t / n
        if n == h.shape[1]:
            back = (z - s).addcmul_(h, t, value=-1)
        else:
            back = z.clone()
            back[:, :n].sub_(s).addcmul_(h[:, :n], t, value=-1)
        back.mul_(_row(p[self.scale]) * tape.r)
        return Pulled(back.view(tape.shape), grads, _Memory(back, z, s, t))

    @override
    def tangent(
        self, p: Params, tape: _Tape, pd: Params, xd: Tensor | None
    ) -> tuple[Tensor, _Moved]:
        h, r = tape.h, tape.r
        moved, out = _Moved(None, None), None
        if xd is not None:
            yd = xd.reshape(h.shape)
            u = _sum_of_products(yd, h).div_(tape.rows)
            hd = (yd - yd.mean(1, keepdim=True)).addcmul_(h, u, value=-1).mul_(r)
            moved, out = _Moved(hd, u), hd * _row(p[self.scale])
        out = _with_affine(self, pd, h, out)
        return _masked(out, tape.a).view(tape.shape), moved

    @override
    def backward_tangent(
        self,
        p: Params,
        tape: _Tape,
        memory: _Memory,
        pd: Params,
        moved: _Moved,
        gyd: Tensor,
        need_x: bool,
    ) -> Pulled:
        h, r, n = tape.h, tape.r, tape.rows
        gy, z, s, t = memory
        scale = _row(p[self.scale])
        zd = _masked(gyd.reshape(h.shape), tape.a)
        sd, td = zd.mean(1, keepdim=True), _sum_of_products(zd, h)
        if moved.hd is not None:
            td += _sum_of_products(z, moved.hd)
        td.div_(n)
        grads = {self.scale: td[:, 0] * n, self.shift: sd[:, 0] * n}
        back = (zd - sd).addcmul_(h, td, value=-1)
        if moved.hd is not None:
            back.addcmul_(moved.hd, t, value=-1)
        back.mul_(scale * r)
        if moved.u is not None:
            back.addcmul_(gy, r * moved.u, value=-1)
        if self.scale in pd:
            q = (z - s).addcmul_(h, t, value=-1)
            back.addcmul_(q, r * _row(pd[self.scale]))
        return Pulled(back.view(tape.shape), grads)


class GroupNormReLU(Layer):
    """``[T, B, H, W, C]`` or ``[T, B, C]``, each example normalised over groups of
    ``gcd(group, C)`` channels."""

    def __init__(self, prefix: str, group: int) -> None:
        self.scale, self.shift = self.names = (f"{prefix}.scale", f"{prefix}.shift")
        self._group = group

    @override
    def forward(self, p: Params, x: Tensor, rows: int | None) -> tuple[Tensor, Any]:
        y = self._grouped(x)
        mean = y.mean((2, 4), keepdim=True)
        h = y - mean
        var = h.square().mean((2, 4), keepdim=True)
        r = torch.rsqrt(var + EPSILON)
        h.mul_(r)
        a = torch.addcmul(self._affine(p[self.shift], h), h, self._affine(p[self.scale], h)).relu_()
        return a.view(x.shape), _Tape(h, a, r, 0, x.shape, mean, var)

    @override
    def backward(self, p: Params, tape: _Tape, gy: Tensor, need_x: bool) -> Pulled:
        h, r = tape.h, tape.r
        z = _masked(gy.reshape(h.shape), tape.a)
        q = z * self._affine(p[self.scale], h)
        s, t = q.mean((2, 4), keepdim=True), (q * h).mean((2, 4), keepdim=True)
        back = (q - s).addcmul_(h, t, value=-1).mul_(r)
        grads = {self.scale: self._summed(z * h), self.shift: self._summed(z)}
        return Pulled(back.view(tape.shape), grads, _Memory(back, z, s, t))

    @override
    def tangent(
        self, p: Params, tape: _Tape, pd: Params, xd: Tensor | None
    ) -> tuple[Tensor, _Moved]:
        h, r = tape.h, tape.r
        moved, out = _Moved(None, None), None
        if xd is not None:
            yd = xd.reshape(h.shape)
            u = (yd * h).mean((2, 4), keepdim=True)
            hd = (yd - yd.mean((2, 4), keepdim=True)).addcmul_(h, u, value=-1).mul_(r)
            moved, out = _Moved(hd, u), hd * self._affine(p[self.scale], h)
        if self.scale in pd:
            out = _plus(out, h * self._affine(pd[self.scale], h))
        if self.shift in pd:
            out = _plus(out, self._affine(pd[self.shift], h).expand(h.shape))
        assert out is not None
        return _masked(out, tape.a).view(tape.shape), moved

    @override
    def backward_tangent(
        self,
        p: Params,
        tape: _Tape,
        memory: _Memory,
        pd: Params,
        moved: _Moved,
        gyd: Tensor,
        need_x: bool,
    ) -> Pulled:
        h, r = tape.h, tape.r
        gy, z, _, t = memory
        scale = self._affine(p[self.scale], h)
        zd = _masked(gyd.reshape(h.shape), tape.a)
        qd, products, by_scale = zd * scale, zd * h, zd * h
        if self.scale in pd:
            qd.addcmul_(z, self._affine(pd[self.scale], h))
        products = qd * h
        if moved.hd is not None:
            products.addcmul_(z * scale, moved.hd)
            by_scale.addcmul_(z, moved.hd)
        td = products.mean((2, 4), keepdim=True)
        back = (qd - qd.mean((2, 4), keepdim=True)).addcmul_(h, td, value=-1)
        if moved.hd is not None and moved.u is not None:
            back.addcmul_(moved.hd, t, value=-1).addcmul_(gy, moved.u, value=-1)
        back.mul_(r)
        grads = {self.scale: self._summed(by_scale), self.shift: self._summed(zd)}
        return Pulled(back.view(tape.shape), grads)

    def _grouped(self, x: Tensor) -> Tensor:
        """``[T, B, H W, groups, C / groups]`` of ``[T, B, H, W, C]``."""
        size = gcd(self._group, x.shape[-1])
        return x.reshape(*x.shape[:2], -1, x.shape[-1] // size, size)

    def _affine(self, value: Tensor, like: Tensor) -> Tensor:
        """A scale or shift ``[T, C]`` beside groups ``like``."""
        beside: Tensor = value.unflatten(-1, like.shape[3:])[:, None, None]
        return beside

    def _summed(self, x: Tensor) -> Tensor:
        return x.sum((1, 2)).flatten(1)


def norm_and_relu(kind: NormKind, prefix: str) -> Layer:
    """The norm ``kind`` of ``models/norm.py``, and a ReLU."""
    if kind == "batch":
        return BatchNormReLU(prefix)
    return GroupNormReLU(prefix, GROUP if kind == "group" else 1)


def _row(value: Tensor) -> Tensor:
    """``[T, C]`` as ``[T, 1, C]``."""
    return value[:, None]


def _masked(x: Tensor, a: Tensor) -> Tensor:
    """``x`` where the ReLU's output ``a`` is not zero."""
    masked: Tensor = torch.ops.aten.threshold_backward(x, a, 0)
    return masked


def _sum_of_products(x: Tensor, y: Tensor) -> Tensor:
    """``[T, 1, C]``: over the positions of ``[T, n, C]``."""
    return (x * y).sum(1, keepdim=True)


def _mean_of_squares(x: Tensor) -> Tensor:
    return x.square().mean(1, keepdim=True)


def _plus(total: Tensor | None, term: Tensor) -> Tensor:
    return term if total is None else total + term


def _with_affine(layer: BatchNormReLU, pd: Params, h: Tensor, out: Tensor | None) -> Tensor:
    """``out + gd h + bd``."""
    if layer.scale in pd:
        out = _plus(out, h * _row(pd[layer.scale]))
    if layer.shift in pd:
        out = _plus(out, _row(pd[layer.shift]).expand(h.shape))
    assert out is not None
    return out
