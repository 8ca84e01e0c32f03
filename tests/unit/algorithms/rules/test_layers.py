"""The four functions of every layer with rules, against its plain torch function and differences.

A new layer gets a row in ``LAYERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.models.norm import batch_norm, group_norm
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules import convolution, first_block, layer, norm, simple

TASKS, IMAGES = 2, 3


class Row(NamedTuple):
    layer: layer.Layer
    shapes: dict[str, tuple[int, ...]]
    """of the parameters of one task"""
    x: tuple[int, ...]
    """of an input of one example, as torch has it: channels first"""
    plain: Callable[[Tensors, Tensor], Tensor]
    """the same function of one task, channels first"""
    of_images: bool = False
    """is the first layer of a network: its input is fixed and goes through ``prepare``"""


def conv(stride: int) -> Callable[[Tensors, Tensor], Tensor]:
    return lambda p, x: F.conv2d(x, p["w"], stride=stride, padding=1)


def block(stride: int) -> Callable[[Tensors, Tensor], Tensor]:
    return lambda p, x: F.relu(batch_norm(p, "n", conv(stride)(p, x), None)[0])


NORM = {"n.scale": (4,), "n.shift": (4,)}
LAYERS = {
    "convolution": Row(
        convolution.Convolution("w", (5, 6), 1), {"w": (4, 2, 3, 3)}, (2, 5, 6), conv(1)
    ),
    "strided, even": Row(
        convolution.Convolution("w", (6, 4), 2), {"w": (4, 2, 3, 3)}, (2, 6, 4), conv(2)
    ),
    "strided, odd": Row(
        convolution.Convolution("w", (7, 5), 2), {"w": (4, 2, 3, 3)}, (2, 7, 5), conv(2)
    ),
    "strided, one pixel": Row(
        convolution.Convolution("w", (1, 1), 2), {"w": (4, 2, 3, 3)}, (2, 1, 1), conv(2)
    ),
    "first convolution": Row(
        convolution.Convolution("w", (6, 5), 2, first=True),
        {"w": (4, 3, 3, 3)}, (3, 6, 5), conv(2), of_images=True,
    ),
    "first block": Row(
        first_block.FirstBlock("w", "n", (6, 5), 2, pool=False),
        {"w": (4, 3, 3, 3), **NORM}, (3, 6, 5), block(2), of_images=True,
    ),
    "first block, stride 1": Row(
        first_block.FirstBlock("w", "n", (4, 5), 1, pool=False),
        {"w": (4, 1, 3, 3), **NORM}, (1, 4, 5), block(1), of_images=True,
    ),
    "first block, pooled": Row(
        first_block.FirstBlock("w", "n", (4, 5), 1, pool=True),
        {"w": (4, 3, 3, 3), **NORM},
        (3, 4, 5),
        lambda p, x: F.max_pool2d(block(1)(p, x), 2),
        of_images=True,
    ),
    "batch norm": Row(
        norm.BatchNormReLU("n"), NORM, (4, 3, 2),
        lambda p, x: F.relu(batch_norm(p, "n", x, None)[0]),
    ),
    "group norm": Row(
        norm.GroupNormReLU("n", 2), NORM, (4, 3, 2),
        lambda p, x: F.relu(group_norm(p, "n", x, 2)),
    ),
    "instance norm": Row(
        norm.GroupNormReLU("n", 1), NORM, (4, 3, 2),
        lambda p, x: F.relu(group_norm(p, "n", x, 1)),
    ),
    "max pool": Row(simple.MaxPool(), {}, (2, 5, 4), lambda p, x: F.max_pool2d(x, 2)),
    "flatten": Row(simple.Flatten(), {}, (2, 3, 4), lambda p, x: x.flatten(1)),
    "mean": Row(simple.SpatialMean(), {}, (2, 3, 4), lambda p, x: x.mean((2, 3))),
    "relu": Row(simple.ReLU(), {}, (7,), lambda p, x: F.relu(x)),
    "linear": Row(
        simple.Linear("w", "b"), {"w": (3, 5), "b": (3,)}, (5,),
        lambda p, x: F.linear(x, p["w"], p["b"]),
    ),
    "linear without bias": Row(
        simple.Linear("w"), {"w": (3, 5)}, (5,), lambda p, x: F.linear(x, p["w"])
    ),
    "batch norm of vectors": Row(
        norm.BatchNormReLU("n"), NORM, (4,),
        lambda p, x: F.relu(batch_norm(p, "n", x[:, :, None, None], None)[0][:, :, 0, 0]),
    ),
    "group norm of vectors": Row(
        norm.GroupNormReLU("n", 2), NORM, (4,),
        lambda p, x: F.relu(group_norm(p, "n", x[:, :, None, None], 2)[:, :, 0, 0]),
    ),
}  # fmt: skip


def test_every_layer_has_a_row() -> None:
    def below(kind: type[layer.Layer]) -> set[type[layer.Layer]]:
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    written = {one for one in below(layer.Layer) if not getattr(one, "__abstractmethods__", None)}
    assert written == {type(row.layer) for row in LAYERS.values()}


class Point:
    """Random parameters, inputs and directions of a row, as the layer takes them."""

    def __init__(self, row: Row, seed: int = 0) -> None:
        self.row, self._generator = row, torch.Generator().manual_seed(seed)
        self.plain_p = {name: self._random(TASKS, *shape) for name, shape in row.shapes.items()}
        self.plain_x = self._random(TASKS, IMAGES, *row.x)
        self.p = self.packed(self.plain_p)
        self.pd = self.packed({n: self._random(TASKS, *s) for n, s in row.shapes.items()})
        self.x: Any = channels_last(self.plain_x)
        self.xd: Tensor | None = channels_last(self._random(TASKS, IMAGES, *row.x))
        if row.of_images:
            self.x, self.xd = row.layer.prepare(self.plain_x, None), None
        y = self.forward()
        self.gy, self.gyd = (self._random(*y.shape) for _ in range(2))

    def packed(self, params: Tensors) -> Tensors:
        return {name: self.row.layer.pack(name, value) for name, value in params.items()}

    def moved(self, by: float) -> tuple[Tensors, Any, Tensor]:
        x = self.x if self.xd is None else self.x + by * self.xd
        return {n: p + by * self.pd[n] for n, p in self.p.items()}, x, self.gy + by * self.gyd

    def forward(self, by: float = 0.0) -> Tensor:
        p, x = self.moved(by)[:2] if by else (self.p, self.x)
        return self.row.layer.forward(p, x, None)[0]

    def backward(self, by: float = 0.0) -> layer.Pulled:
        p, x, gy = self.moved(by)
        return self.row.layer.backward(p, self.row.layer.forward(p, x, None)[1], gy, True)

    def _random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)


def channels_last(x: Tensor) -> Tensor:
    return x.movedim(2, -1) if x.ndim == 5 else x


def slope(of: Callable[[float], Tensor], h: float = 1e-6) -> Tensor:
    return (of(h) - of(-h)) / (2 * h)


def close(found: Tensor | None, expected: Tensor, relative: float = 1e-6) -> None:
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=relative, atol=1e-7)


@pytest.fixture(params=["whole", "in parts"], autouse=True)
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few numbers fit the cache in parts, so that an image is computed by itself."""
    if request.param == "in parts":
        monkeypatch.setattr(convolution, "_KEPT", 0)
        monkeypatch.setattr(convolution, "_AT_ONCE", 1)


@pytest.fixture(params=LAYERS)
def point(request: pytest.FixtureRequest) -> Point:
    return Point(LAYERS[request.param])


def test_forward_is_the_plain_function(point: Point) -> None:
    for task, y in enumerate(point.forward()):
        p = {name: value[task] for name, value in point.plain_p.items()}
        plain = point.row.plain(p, point.plain_x[task])
        expected = plain.movedim(1, -1) if plain.ndim == 4 else plain
        torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)


def test_unpack_is_the_inverse_of_pack(point: Point) -> None:
    for name, value in point.plain_p.items():
        assert torch.equal(point.row.layer.unpack(name, point.p[name]), value)


def test_backward_is_the_transposed_tangent(point: Point) -> None:
    """``<y', gy> = <p', gp> + <x', gx>``, along random directions."""
    pulled = point.backward()
    inner = sum(float((pulled.params[n] * point.pd[n]).sum()) for n in point.p)
    if point.xd is not None:
        assert pulled.x is not None
        inner += float((pulled.x * point.xd).sum())
    close(torch.tensor(inner), (slope(point.forward) * point.gy).sum().float(), 1e-5)


@pytest.mark.parametrize("along", ["parameters", "input", "both"])
def test_tangent_and_its_backward_are_differences(point: Point, along: str) -> None:
    layer = point.row.layer
    if along == "parameters":
        point.xd = None
    if along == "input":
        point.pd = {name: torch.zeros_like(value) for name, value in point.pd.items()}
    if point.xd is None and (along == "input" or not point.p):
        pytest.skip("has no such direction")
    given = point.pd if along != "input" else {}
    y, tape = layer.forward(point.p, point.x, None)
    yd, moved = layer.tangent(point.p, tape, given, point.xd)
    close(yd, slope(point.forward).view(y.shape))
    memory = layer.backward(point.p, tape, point.gy, True).memory
    pulled = layer.backward_tangent(point.p, tape, memory, given, moved, point.gyd, True)
    for name in point.p:
        close(pulled.params[name], slope(lambda h, n=name: point.backward(h).params[n]))  # type: ignore[misc]
    if not point.row.of_images:
        close(pulled.x, slope(lambda h: point.backward(h).x))  # type: ignore[arg-type, return-value]


def test_statistics_of_the_first_rows(point: Point) -> None:
    """The first rows come out as if they were alone, and the derivative counts all."""
    layer = point.row.layer
    if not isinstance(layer, norm.BatchNormReLU | first_block.FirstBlock):
        pytest.skip("has no statistics")
    prepared = isinstance(layer, first_block.FirstBlock)
    x = layer.prepare(point.plain_x, 2) if prepared else point.x
    alone = layer.prepare(point.plain_x[:, :2], None) if prepared else point.x[:, :2]
    y, tape = layer.forward(point.p, x, 2)
    first, alone_tape = layer.forward(point.p, alone, None)
    torch.testing.assert_close(y[:, :2], first)
    for name, value in layer.statistics(point.p, alone_tape).items():
        torch.testing.assert_close(layer.statistics(point.p, tape)[name], value)
    gradient = layer.backward(point.p, tape, point.gy, True)

    def forward(by: float) -> Tensor:
        p, moved, _ = point.moved(by)
        return layer.forward(p, x if prepared else moved, 2)[0]

    inner = sum(float((gradient.params[n] * point.pd[n]).sum()) for n in point.p)
    if point.xd is not None:
        assert gradient.x is not None
        inner += float((gradient.x * point.xd).sum())
    close(torch.tensor(inner), (slope(forward) * point.gy).sum().float(), 1e-5)
