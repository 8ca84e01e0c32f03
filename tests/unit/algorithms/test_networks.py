"""All networks under all norms: modes, ``vmap``, second order, and what was published of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from fixtures import WAYS
from torch import Tensor
from torch.func import vmap

from metaray.algorithms.algorithm import State
from metaray.algorithms.configs import ModelConfig, NormKind
from metaray.algorithms.episode import Episode
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.maml_config import MAMLConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.models.head import apply_head
from metaray.algorithms.models.noise import bernoulli
from metaray.algorithms.models.norm import group_norm, init_norm, is_norm
from metaray.algorithms.models.resnet12 import drop_block
from metaray.algorithms.parameters import Layout, Tensors
from metaray.algorithms.registry import build_algorithm

SHAPE = (1, 24, 24)
NORMS: tuple[NormKind, ...] = ("batch", "group", "instance")
NETWORKS = ("conv4", "conv4_strided", "resnet12", "wrn28_10")
EACH = pytest.mark.parametrize(
    ("name", "norm"),
    [(name, norm) for name in NETWORKS for norm in NORMS] + [("torchvision", "batch")],
)


def build(name: str, norm: NormKind = "batch", **more: object) -> tuple[Backbone, Tensors, Tensors]:
    sizes: dict[str, object] = {"width": 8}
    if name == "torchvision":
        sizes = {"arch": "shufflenet_v2_x0_5"}
    if name == "wrn28_10":
        sizes = {"width": 2}
    settings = {"name": name, "norm": norm} | sizes | more
    backbone = build_backbone(ModelConfig.model_validate(settings), SHAPE)
    parts = backbone.init(torch.Generator().manual_seed(0))
    params, stats = ({k: v.double() for k, v in part.items()} for part in parts)
    return backbone, params, stats


def images(*sizes: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*sizes, *SHAPE, generator=generator, dtype=torch.float64)


@EACH
def test_shapes_statistics_and_reproducible_initialisation(name: str, norm: NormKind) -> None:
    backbone, params, stats = build(name, norm)
    features, seen = backbone.apply(params, images(3), None)
    assert features.shape == (3, backbone.feature_dim)
    assert bool(features.std(0).max() > 0)
    assert {k: v.shape for k, v in seen.items()} == {k: v.shape for k, v in stats.items()}
    assert bool(stats) == (norm == "batch")
    before = torch.random.get_rng_state()
    again = backbone.init(torch.Generator().manual_seed(0))[0]
    other = backbone.init(torch.Generator().manual_seed(1))[0]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(params[k], again[k].double()) for k in params)
    assert any(not torch.equal(again[k], other[k]) for k in params)


@EACH
def test_given_statistics_make_images_independent(name: str, norm: NormKind) -> None:
    backbone, params, _ = build(name, norm)
    x = images(4)
    own, seen = backbone.apply(params, x, None)
    given, used = backbone.apply(params, x, seen)
    torch.testing.assert_close(own, given, rtol=1e-9, atol=1e-10)
    assert all(torch.equal(used[k], seen[k]) for k in seen)
    alone = backbone.apply(params, x[:1], seen)[0]
    torch.testing.assert_close(alone, own[:1], rtol=1e-8, atol=1e-9)
    transductive = backbone.apply(params, x[:1], None)[0]
    assert torch.allclose(transductive, own[:1], rtol=1e-6) == (norm != "batch")


@EACH
def test_vmap_equals_one_by_one(name: str, norm: NormKind) -> None:
    backbone, params, _ = build(name, norm)
    tasks = images(2, 3)
    features, seen = vmap(lambda x: backbone.apply(params, x, None))(tasks)
    for i, x in enumerate(tasks):
        one, one_seen = backbone.apply(params, x, None)
        torch.testing.assert_close(features[i], one, rtol=1e-9, atol=1e-10)
        for k in one_seen:
            torch.testing.assert_close(seen[k][i], one_seen[k], rtol=1e-9, atol=1e-10)


def task() -> Episode:
    y = torch.arange(WAYS).repeat(2)
    return Episode(images(2 * WAYS), y, images(2 * WAYS, seed=2), y)


@pytest.mark.parametrize(
    ("name", "norm"),
    [(name, norm) for name in ("resnet12", "wrn28_10") for norm in NORMS]
    + [("torchvision", "batch")],
)
@pytest.mark.parametrize("form", ["unrolled", "recursion"])
def test_second_order_gradient_equals_autograds(name: str, norm: NormKind, form: str) -> None:
    """Finite differences would cross the kinks of ReLU, of which deep networks are full."""
    backbone, _, _ = build(name, norm, **({} if name == "torchvision" else {"width": 2}))
    config = MAMLConfig(inner_lr=1e-3, inner_steps=1, second_order=form)
    algorithm = build_algorithm(config, backbone, "classification", WAYS)
    params = {k: v.double().requires_grad_() for k, v in algorithm.init(0).params.items()}
    episode = task()

    def loss(at: Tensors, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(apply_head(at, backbone.apply(at, x, None)[0]), y)

    def derivative(value: Tensor, of: Tensors) -> Tensors:
        found = torch.autograd.grad(value, list(of.values()), create_graph=True)
        return dict(zip(of, found, strict=True))

    adapted = {k: p for k, p in params.items() if not is_norm(k)}
    step = derivative(loss(params, episode.support_x, episode.support_y), adapted)
    fast = params | {k: p - 1e-3 * step[k] for k, p in adapted.items()}
    expected = derivative(loss(fast, episode.query_x, episode.query_y), params)
    state = State({k: p.detach() for k, p in params.items()}, {})
    found = algorithm.task_gradient(state, episode, WAYS).gradient
    layout = Layout.of(params)
    exact = layout.flatten(expected).detach()
    assert (layout.flatten(found) - exact).norm() < 1e-9 * exact.norm()


@pytest.mark.parametrize("group", [16, 1])
def test_group_norm_equals_torchs(group: int) -> None:
    x = 3 * torch.randn(2, 32, 5, 5, dtype=torch.float64) + 1
    params = {"n.scale": torch.rand(32).double(), "n.shift": torch.rand(32).double()}
    expected = F.group_norm(x, 32 // group, params["n.scale"], params["n.shift"])
    torch.testing.assert_close(group_norm(params, "n", x, group), expected)


def test_a_norm_that_would_leave_nothing_is_refused() -> None:
    params, _ = init_norm("n", 4, "instance")
    with pytest.raises(InputError, match="n would normalise one pixel by itself"):
        group_norm(params, "n", torch.ones(2, 4, 1, 1), 1)
    with pytest.raises(InputError, match="conv4_strided makes one pixel of 16 x 16"):
        build_backbone(ModelConfig(norm="instance"), (1, 16, 16))


@pytest.mark.parametrize(("name", "millions"), [("resnet12", 12.42), ("wrn28_10", 36.47)])
def test_published_number_of_parameters(name: str, millions: float) -> None:
    """Without a head; a head of ten classes adds 6,410 to WRN-28-10, which is published as 36.5."""
    backbone = build_backbone(ModelConfig.model_validate({"name": name}), (3, 32, 32))
    params, _ = backbone.init(torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in params.values()) / 1e6 == pytest.approx(millions, abs=0.006)
    assert backbone.feature_dim == 640


def test_images_that_are_too_small() -> None:
    with pytest.raises(InputError, match="resnet12 halves an image 4 times and needs 16 x 16"):
        build_backbone(ModelConfig(name="resnet12"), (1, 12, 12))


def test_random_bits_are_a_function_of_the_key() -> None:
    keys = torch.tensor([0, 1, 2**31 - 1])

    def draw(key: Tensor) -> Tensor:
        return bernoulli(key, 3, (100, 100), 0.2)

    batched = vmap(draw)(keys)
    assert all(torch.equal(batched[i], draw(key)) for i, key in enumerate(keys))
    assert batched[0, 0, :10].tolist() == draw(torch.tensor(0))[0, :10].tolist()
    share = batched.double().mean((1, 2))
    assert bool(((share - 0.2).abs() < 0.02).all())  # five standard deviations
    both = (batched[0] & batched[1]).double().mean()
    assert float(both) == pytest.approx(0.04, abs=0.01)
    other_stream = bernoulli(keys[0], 4, (100, 100), 0.2)
    assert float((batched[0] & other_stream).double().mean()) == pytest.approx(0.04, abs=0.01)
    neighbours = (batched[0, :, 1:] & batched[0, :, :-1]).double().mean()
    assert float(neighbours) == pytest.approx(0.04, abs=0.01)
    assert not bernoulli(keys[0], 0, (1000,), 0.0).any()
    assert bernoulli(keys[0], 0, (1000,), 1.0).all()


def test_drop_block_drops_squares_and_keeps_the_mean() -> None:
    x = torch.ones(20, 16, 10, 10, dtype=torch.float64)
    out = drop_block(x, torch.tensor(7), 0, 0.1)
    assert float(out.mean()) == pytest.approx(1.0)
    dropped = out == 0
    assert float(dropped.double().mean()) == pytest.approx(0.1, abs=0.02)
    # each dropped feature lies in a square of 5 x 5 that is dropped whole
    squares = -F.max_pool2d(-dropped.double(), 5, stride=1)
    margin = (4, 4, 4, 4)
    assert torch.equal(F.max_pool2d(F.pad(squares, margin), 5, stride=1) > 0, dropped)


def test_drop_block_needs_a_key_and_follows_it() -> None:
    backbone, params, _ = build("resnet12", drop_block=0.3)
    off, _, _ = build("resnet12")
    x, key = images(2, 3), torch.tensor([1, 2])
    apply: Callable[..., Tensor] = lambda x, key: backbone.apply(params, x, None, key)[0]  # noqa: E731
    batched = vmap(apply)(x, key)
    for i in range(2):
        assert torch.equal(batched[i] == 0, apply(x[i], key[i]) == 0)
        torch.testing.assert_close(batched[i], apply(x[i], key[i]))
        assert torch.equal(apply(x[i], None), off.apply(params, x[i], None)[0])
    assert not torch.allclose(apply(x[0], key[0]), apply(x[0], key[1]))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "conv4", "drop_block": 0.1}, "conv4 has no DropBlock"),
        ({"name": "mlp", "norm": "group"}, "mlp has no norm"),
        ({"name": "mlp_norm", "norm": "instance"}, "each unit of mlp_norm by itself"),
        ({"name": "mlp_norm", "norm": "group", "width": 7}, "group with an even model.width"),
        ({"name": "conv4", "arch": "resnet50"}, "model.arch has no effect on conv4"),
        ({"name": "conv4", "depth": 3}, "model.depth has no effect on conv4"),
        ({"name": "resnet12", "weights": "download"}, "model.weights has no effect on resnet12"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ModelConfig.model_validate(settings)
