"""torchvision's networks: the same numbers as its own, from files as people have them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import torch
import torchvision.models
from fixtures import draw_statistics
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms.functional import normalize

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.build import build_backbone

SHAPE = (3, 32, 32)


def build(shape: tuple[int, ...] = SHAPE, **settings: object) -> Backbone:
    config = ModelConfig.model_validate({"name": "torchvision"} | settings)
    return build_backbone(config, shape)


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def trained(arch: str) -> nn.Module:
    """torchvision's network with running statistics that are not those of a fresh one."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(1)
        module: nn.Module = torchvision.models.get_model(arch, weights=None)
        draw_statistics(module)
    return module.eval()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize(
    ("arch", "head"), [("resnet18", "fc"), ("mobilenet_v3_small", "classifier.3")]
)
def test_weights_from_a_file_give_torchvisions_own_features(
    tmp_path: Path, arch: str, head: str, suffix: str
) -> None:
    module = trained(arch)
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save(module.state_dict(), path)
    else:
        save_file(module.state_dict(), path)
    backbone = build(arch=arch, weights=str(path))
    params, stats = backbone.init(torch.Generator().manual_seed(0))
    parent, _, leaf = head.rpartition(".")
    setattr(module.get_submodule(parent), leaf, nn.Identity())
    x = images(4, *SHAPE)
    with torch.no_grad():
        expected = module(normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        found, _ = backbone.apply(params, x, stats)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_one_channel_is_seen_three_times() -> None:
    grey, colour = build((1, 32, 32)), build()
    params, stats = grey.init(torch.Generator().manual_seed(0))
    x = images(2, 1, 32, 32)
    repeated = x.repeat(1, 3, 1, 1)
    torch.testing.assert_close(
        grey.apply(params, x, stats)[0], colour.apply(params, repeated, stats)[0]
    )


def test_other_norms_take_the_place_of_batch_norm() -> None:
    backbone = build((3, 64, 64), arch="resnet18", norm="group")
    params, stats = backbone.init(torch.Generator().manual_seed(0))
    assert stats == {}
    x = images(3, 3, 64, 64)
    together, alone = (backbone.apply(params, part, None)[0] for part in (x, x[:1]))
    torch.testing.assert_close(together[:1], alone)
    with pytest.raises(InputError, match="convnext_tiny has no batch norm to replace"):
        build(arch="convnext_tiny", norm="group")


def test_weights_that_do_not_fit_are_told_by_layer(tmp_path: Path) -> None:
    path = tmp_path / "resnet34.pt"
    torch.save(trained("resnet34").state_dict(), path)
    backbone = build(arch="resnet18", weights=str(path))
    with pytest.raises(InputError, match=r"layer1\.2\.conv1\.weight has no place; .* more"):
        backbone.init(torch.Generator())
    state = trained("resnet18").state_dict()
    state["layer1.0.conv1.weight"] = torch.zeros(2, 2)
    del state["bn1.weight"]
    torch.save(state, path)
    with pytest.raises(
        InputError, match=r"bn1\.scale is missing; layer1\.0\.conv1\.weight is 2x2 in place of"
    ):
        backbone.init(torch.Generator())


def test_densenets_as_torchvision_publishes_them(tmp_path: Path) -> None:
    network = trained("densenet121")
    dotted = {
        re.sub(r"(norm|conv)([12]\.)", r"\1.\2", n): t for n, t in network.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in dotted
    torch.save(dotted, tmp_path / "densenet121.pt")
    backbone = build(arch="densenet121", weights=str(tmp_path / "densenet121.pt"))
    params, _ = backbone.init(torch.Generator())
    name = "features.denseblock1.denselayer1.conv2.weight"
    assert torch.equal(params[name], network.state_dict()[name])


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("exploded"),))


def test_files_that_hold_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pt"
    for content in (b"not weights", b"", pickle.dumps(_Bomb(), protocol=2)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"cannot read the weights .*bad\.pt"):
            build(weights=str(path)).init(torch.Generator())
    assert not (tmp_path / "exploded").exists()
    torch.save({"epoch": 3}, path)
    with pytest.raises(InputError, match="holds no state dict"):
        build(weights=str(path)).init(torch.Generator())
    with pytest.raises(InputError, match="cannot read the weights"):
        build(weights=str(tmp_path / "none.safetensors")).init(torch.Generator())


def test_names_and_inputs_that_cannot_be() -> None:
    with pytest.raises(InputError, match="'resnet19' is no network .* did you mean resnet18"):
        build(arch="resnet19")
    with pytest.raises(InputError, match=r"vit_b_16 cannot take images of shape \(3, 32, 32\)"):
        build(arch="vit_b_16")
    with pytest.raises(InputError, match=r"takes images \(1 or 3, H, W\), got .* \(1,\)"):
        build((1,))
