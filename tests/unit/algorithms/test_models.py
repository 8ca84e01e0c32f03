"""Networks and batch norm against torch's own."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import pytest
import torch
import torch.nn.functional as F

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.models.norm import batch_norm, init_norm
from metaray.algorithms.parameters import Layout


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_batch_norm_equals_torchs_in_both_modes() -> None:
    x = 3 * noise(5, 4, 6, 6) + 2
    params = {"n.scale": noise(4, seed=1), "n.shift": noise(4, seed=2)}
    out, seen = batch_norm(params, "n", x, None)
    expected = F.batch_norm(x, None, None, params["n.scale"], params["n.shift"], training=True)
    torch.testing.assert_close(out, expected)
    stats = {"n.mean": noise(4, seed=3), "n.var": noise(4, seed=4).square()}
    out, used = batch_norm(params, "n", x, stats)
    expected = F.batch_norm(
        x, stats["n.mean"], stats["n.var"], params["n.scale"], params["n.shift"]
    )
    torch.testing.assert_close(out, expected)
    assert used["n.mean"] is stats["n.mean"]
    assert not torch.equal(seen["n.mean"], used["n.mean"])


def test_batch_norm_of_constant_input_is_its_shift() -> None:
    params, _ = init_norm("n", 2)
    x = torch.full((3, 2, 4, 4), 1e3)
    out, seen = batch_norm(params, "n", x, None)
    assert torch.isfinite(out).all()
    assert float(seen["n.var"].min()) >= 0
    assert float(out.abs().max()) < 1.0


@pytest.mark.parametrize(
    ("name", "size", "features"),
    [
        ("conv4", 28, 64),
        ("conv4", 84, 1600),
        ("conv4_strided", 28, 64),
        ("conv4_strided", 84, 64),
        ("conv4_map", 28, 64 * 7 * 7),
        ("conv4_map", 84, 64 * 21 * 21),
    ],
)
def test_conv4_features(name: str, size: int, features: int) -> None:
    backbone = build_backbone(ModelConfig(name=name, width=64), (3, size, size))  # type: ignore[arg-type]
    params, stats = backbone.init(torch.Generator().manual_seed(0))
    out, seen = backbone.apply(params, torch.rand(2, 3, size, size), None)
    assert out.shape == (2, features) == (2, backbone.feature_dim)
    assert prod(backbone.map_shape) == features
    assert set(seen) == set(stats)
    # 3x3 convolutions of 3, 64, 64, 64 channels, and two parameters of norm per channel and block
    assert sum(p.numel() for p in params.values()) == 9 * 64 * (3 + 3 * 64) + 4 * 2 * 64


def test_conv4_normalises_by_the_statistics_it_returned() -> None:
    backbone = build_backbone(ModelConfig(name="conv4", width=8), (1, 16, 16))
    params, _ = backbone.init(torch.Generator().manual_seed(0))
    x = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    own, seen = backbone.apply(params, x, None)
    given, _ = backbone.apply(params, x, seen)
    torch.testing.assert_close(own, given)
    one, _ = backbone.apply(params, x[:1], seen)
    torch.testing.assert_close(one, own[:1])


def test_mlp_is_linear_relu_layers() -> None:
    backbone = build_backbone(ModelConfig(name="mlp", width=5, depth=2), (1,))
    params, stats = backbone.init(torch.Generator().manual_seed(0))
    params["layer0.bias"] += 0.3
    x = torch.linspace(-1, 1, 4)[:, None]
    hidden = (x @ params["layer0.weight"].T + params["layer0.bias"]).clamp(min=0)
    expected = (hidden @ params["layer1.weight"].T + params["layer1.bias"]).clamp(min=0)
    torch.testing.assert_close(backbone.apply(params, x, None)[0], expected)
    assert stats == {}


def test_mlp_norm_is_the_network_of_finn_without_convolutions() -> None:
    backbone = build_backbone(ModelConfig(name="mlp_norm"), (1, 28, 28))
    params, stats = backbone.init(torch.Generator().manual_seed(0))
    sizes = [784, 256, 128, 64, 64]
    assert [tuple(p.shape) for n, p in params.items() if n.endswith("weight")] == [
        (units, inputs) for inputs, units in pairwise(sizes)
    ]
    x = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    expected = x.flatten(1)
    for layer in range(4):
        scale, shift = (params[f"layer{layer}.norm.{kind}"] for kind in ("scale", "shift"))
        expected = F.linear(expected, params[f"layer{layer}.weight"])
        expected = F.relu(F.batch_norm(expected, None, None, scale, shift, training=True))
    found, used = backbone.apply(params, x, None)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert used.keys() == stats.keys()


def test_input_that_does_not_fit() -> None:
    with pytest.raises(InputError, match="takes images"):
        build_backbone(ModelConfig(name="conv4"), (1,))
    with pytest.raises(InputError, match="needs 16 x 16 pixels, got 12 x 12"):
        build_backbone(ModelConfig(name="conv4"), (1, 12, 12))


def test_layout_flattens_and_back_also_under_a_task_axis() -> None:
    tensors = {"b": noise(2, 3), "a": noise(4, seed=1)}
    layout = Layout.of(tensors)
    flat = layout.flatten(tensors)
    assert flat.shape == (layout.size,) == (10,)
    assert all(torch.equal(layout.unflatten(flat)[k], tensors[k]) for k in tensors)
    stacked = {k: torch.stack([v, 2 * v]) for k, v in tensors.items()}
    torch.testing.assert_close(layout.flatten(stacked), torch.stack([flat, 2 * flat]))
    with pytest.raises(ValueError, match="expected a flat vector of 10 elements"):
        layout.unflatten(flat[:-1])
