"""The layers without weights, and the linear ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d
from typing_extensions import override

from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.layer import FlatLayer, Layer, LinearMap, Params, Pulled


class Flatten(LinearMap):
    """``[T, B, H, W, C]`` to ``[T, B, C H W]``, in the order of images with channels first."""

    @override
    def apply(self, x: Tensor) -> Tensor:
        return x.permute(0, 1, 4, 2, 3).flatten(2)

    @override
    def transposed(self, gy: Tensor, shape: tuple[int, ...]) -> Tensor:
        height, width, channels = shape[2:]
        image: Tensor = gy.unflatten(2, (channels, height, width)).permute(0, 1, 3, 4, 2)
        return image


class SpatialMean(LinearMap):
    """``[T, B, H, W, C]`` to ``[T, B, C]``."""

    @override
    def apply(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))

    @override
    def transposed(self, gy: Tensor, shape: tuple[int, ...]) -> Tensor:
        return (gy / (shape[2] * shape[3]))[:, :, None, None].expand(shape)


class MaxPool(FlatLayer):
    """2x2 max pooling of ``[T, B, H, W, C]``; of equal numbers the first counts."""

    @override
    def forward(self, p: Params, x: Tensor, rows: int | None) -> tuple[Tensor, Any]:
        first = x.flatten(0, 1).permute(0, 3, 1, 2)
        y, index = max_pool2d(first, 2, return_indices=True)
        y = y.permute(0, 2, 3, 1).unflatten(0, x.shape[:2])
        return y, (index.permute(0, 2, 3, 1).flatten(1, 2), x.shape, y.shape)

    @override
    def backward(self, p: Params, tape: Any, gy: Tensor, need_x: bool) -> Pulled:
        if not need_x:
            return Pulled(None, {})
        index, shape, _ = tape
        tasks, images, height, width, channels = shape
        gx = gy.new_zeros(tasks * images, height * width, channels)
        gx.scatter_(1, index, gy.reshape(index.shape))
        return Pulled(gx.view(shape), {})

    @override
    def tangent(self, p: Params, tape: Any, pd: Params, xd: Tensor | None) -> tuple[Tensor, Any]:
        assert xd is not None
        index, _, out = tape
        return xd.flatten(0, 1).flatten(1, 2).gather(1, index).view(out), None


class ReLU(FlatLayer):
    """Elementwise."""

    @override
    def forward(self, p: Params, x: Tensor, rows: int | None) -> tuple[Tensor, Any]:
        a = torch.relu(x)
        return a, a

    @override
    def backward(self, p: Params, tape: Any, gy: Tensor, need_x: bool) -> Pulled:
        return Pulled(torch.ops.aten.threshold_backward(gy, tape, 0) if need_x else None, {})

    @override
    def tangent(self, p: Params, tape: Any, pd: Params, xd: Tensor | None) -> tuple[Tensor, Any]:
        assert xd is not None
        return torch.ops.aten.threshold_backward(xd, tape, 0), None


class Linear(Layer):
    """``[T, B, F]`` to ``[T, B, N]``; the parameters are ``weight`` ``[N, F]`` and any ``bias``."""

    def __init__(self, weight: str, bias: str | None = None) -> None:
        self.weight, self.bias = weight, bias
        self.names = (weight,) if bias is None else (weight, bias)

    @override
    def pack(self, name: str, value: Tensor) -> Tensor:
        return value.transpose(1, 2) if name == self.weight else value

    @override
    def unpack(self, name: str, value: Tensor) -> Tensor:
        return self.pack(name, value)

    @override
    def prepare(self, x: Tensor, rows: int | None) -> Tensor:
        return x.flatten(2)

    @override
    def forward(self, p: Params, x: Tensor, rows: int | None) -> tuple[Tensor, Any]:
        if self.bias is None:
            return torch.bmm(x, p[self.weight]), x
        return torch.baddbmm(p[self.bias][:, None], x, p[self.weight]), x

    @override
    def backward(self, p: Params, tape: Any, gy: Tensor, need_x: bool) -> Pulled:
        grads = self._named(torch.bmm(tape.transpose(1, 2), gy), gy)
        gx = torch.bmm(gy, p[self.weight].transpose(1, 2)) if need_x else None
        return Pulled(gx, grads, gy)

    @override
    def tangent(self, p: Params, tape: Any, pd: Params, xd: Tensor | None) -> tuple[Tensor, Any]:
        terms = []
        if self.weight in pd:
            terms.append(torch.bmm(tape, pd[self.weight]))
        if xd is not None:
            terms.append(torch.bmm(xd, p[self.weight]))
        if self.bias is not None and self.bias in pd:
            bias = pd[self.bias][:, None]
            terms.append(bias if terms else bias.expand(-1, tape.shape[1], -1))
        return sum(terms[1:], terms[0]), xd

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
        gy, xd = memory, moved
        gw = torch.bmm(tape.transpose(1, 2), gyd)
        if xd is not None:
            gw.baddbmm_(xd.transpose(1, 2), gy)
        gx = None
        if need_x:
            gx = torch.bmm(gyd, p[self.weight].transpose(1, 2))
            if self.weight in pd:
                gx.baddbmm_(gy, pd[self.weight].transpose(1, 2))
        return Pulled(gx, self._named(gw, gyd))

    def _named(self, of_weight: Tensor, gy: Tensor) -> Tensors:
        """Derivatives by the names of the parameters; that of the bias is the sum of ``gy``."""
        grads = {self.weight: of_weight}
        return grads if self.bias is None else grads | {self.bias: gy.sum(1)}
