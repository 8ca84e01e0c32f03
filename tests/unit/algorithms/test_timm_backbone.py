"""timm's networks: the same numbers as its own, with random weights that a file holds."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures import draw_statistics
from torch import Tensor, nn

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.models.module_backbone import ModuleBackbone
from metaray.algorithms.models.registry import MODELS
from metaray.algorithms.models.timm_backbone import timm_image_size

pytestmark = pytest.mark.skipif(
    find_spec("timm") is None, reason="networks of timm need pip install 'metaray[timm]'"
)
# timm's own networks for tests, of each kind: norms with an activation in them, attention, others
ARCHS = ("test_efficientnet", "test_resnet", "test_vit", "test_convnext", "test_byobnet")


def build(arch: str, size: int = 160, **settings: object) -> Backbone:
    config = ModelConfig.model_validate({"name": "timm", "arch": arch} | settings)
    return build_backbone(config, (3, size, size))


def trained(arch: str) -> Any:
    """timm's network with running statistics that are not those of a fresh one."""
    from timm import create_model

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(1)
        module = create_model(arch, pretrained=False)
        draw_statistics(module)
    return module.eval()


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def own_features(module: Any, x: Tensor) -> Tensor:
    mean, deviation = (
        torch.tensor(module.pretrained_cfg[key])[:, None, None] for key in ("mean", "std")
    )
    module.reset_classifier(0)
    with torch.no_grad():
        return torch.as_tensor(module((x - mean) / deviation))


@pytest.mark.parametrize("arch", ARCHS)
def test_weights_from_a_file_give_timms_own_features(arch: str, tmp_path: Path) -> None:
    module, path = trained(arch), tmp_path / "weights.pth"
    torch.save(module.state_dict(), path)
    drawn = torch.random.get_rng_state()
    backbone = build(arch, weights=str(path))
    params, stats = backbone.init(torch.Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), drawn)
    x = images(3, 3, 160, 160)
    with torch.no_grad():
        found, _ = backbone.apply(params, x, stats)
    torch.testing.assert_close(found, own_features(module, x), rtol=1e-4, atol=1e-5)


def test_a_port_has_other_names_in_the_same_order(tmp_path: Path) -> None:
    module, path = trained("test_efficientnet"), tmp_path / "weights.pth"
    state = module.state_dict()
    torch.save(
        {f"_part{i}.{n.rpartition('.')[2]}": v for i, (n, v) in enumerate(state.items())}, path
    )
    backbone = build("test_efficientnet", weights=str(path))
    params, stats = backbone.init(torch.Generator())
    x = images(2, 3, 160, 160)
    with torch.no_grad():
        found, _ = backbone.apply(params, x, stats)
    torch.testing.assert_close(found, own_features(module, x), rtol=1e-4, atol=1e-5)


def test_it_trains_and_batch_norm_obeys_the_given_statistics() -> None:
    backbone = build("test_resnet", 64)
    params, stats = backbone.init(torch.Generator().manual_seed(0))
    x = images(4, 3, 64, 64)
    leaves = {name: value.requires_grad_() for name, value in params.items()}
    features, seen = backbone.apply(leaves, x, None)
    assert seen.keys() == stats.keys()
    features.square().mean().backward()
    assert all(value.grad is not None for value in leaves.values())
    with torch.no_grad():
        alone, _ = backbone.apply(params, x[:1], seen)
    torch.testing.assert_close(alone, features[:1].detach(), rtol=1e-3, atol=1e-4)


def test_its_layers_in_groups_go_from_input_to_output() -> None:
    backbone = build("test_vit")
    names = list(backbone.init(torch.Generator())[0])
    groups = backbone.layer_groups(names)
    assert sorted(name for group in groups for name in group) == sorted(names)
    assert any(group[0].startswith("blocks.0") for group in groups)
    assert any(group[0].startswith("blocks.1") for group in groups)


def test_the_size_of_its_images_is_known() -> None:
    assert timm_image_size("test_vit") == 160


def test_what_does_not_fit_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"stem.weight": torch.zeros(4, 3, 5, 5)}, path)
    with pytest.raises(InputError, match="those of another network: .* is missing"):
        build("test_resnet", weights=str(path)).init(torch.Generator())
    with pytest.raises(InputError, match="weights of timm are not downloaded: give a file"):
        build("test_resnet", weights="download")
    with pytest.raises(InputError, match="timm has no network 'test_resnot': did you mean test_"):
        build("test_resnot")
    with pytest.raises(
        InputError, match=r"cannot take images of .*trained with data.image_size = 160"
    ):
        build("test_vit_relpos", 50)
    with pytest.raises(InputError, match="set model.name=timm and model.arch=test_vit"):
        MODELS.validate({"name": "timm:test_vit"})
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"need another package: pip install 'metaray\[timm\]'"):
        build("test_resnet")


class Shifted(nn.BatchNorm2d):
    """Computes something else than batch norm, and no part of it shows that."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1.0


def test_a_norm_that_cannot_be_replaced_is_refused() -> None:
    def network(norm: type[nn.Module]) -> ModuleBackbone:
        return ModuleBackbone(
            lambda: nn.Sequential(nn.Conv2d(1, 4, 3), norm(4), nn.ReLU()), (1, 8, 8)
        )

    network(nn.BatchNorm2d)
    with pytest.raises(InputError, match="computes something else when its batch norms are repl"):
        network(Shifted)
