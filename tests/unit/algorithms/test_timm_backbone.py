"""Networks of timm as frozen encoders; timm itself, which is no dependency, is played here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metaray.algorithms.errors import InputError
from metaray.algorithms.models.timm_backbone import TimmBackbone, timm_image_size


class Small(nn.Module):
    """A network as timm's: a configuration, and a classifier that can be taken off."""

    pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "input_size": (3, 48, 48)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.classifier: nn.Module = nn.Linear(4, 10)

    def reset_classifier(self, classes: int) -> None:
        self.classifier = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.classifier(self.norm(self.stem(x)).mean((-2, -1)))
        return found


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("timm")
    module.list_models = lambda: ["small", "smaller"]
    module.create_model = lambda arch, pretrained: Small()
    monkeypatch.setitem(sys.modules, "timm", module)


@pytest.fixture
def trained() -> Small:
    torch.manual_seed(0)
    network = Small()
    network.norm.running_mean = torch.tensor([0.1, 0.2, 0.3, 0.4])
    network.norm.running_var = torch.tensor([1.0, 2.0, 3.0, 4.0])
    return network


def features_of(network: Small, x: Tensor) -> Tensor:
    network.eval()
    network.reset_classifier(0)
    with torch.no_grad():
        return network((x - 0.5) / 0.25)


@pytest.mark.parametrize("renamed", [False, True], ids=["its own names", "names of a port"])
def test_features_are_those_of_the_network_in_evaluation(
    trained: Small, renamed: bool, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    names = {"stem": "_conv_stem", "norm": "_bn0", "classifier": "_fc"}
    state = {
        f"{names[n.partition('.')[0]]}.{n.partition('.')[2]}" if renamed else n: value
        for n, value in trained.state_dict().items()
    }
    torch.save(state, path)
    drawn = torch.random.get_rng_state()
    backbone = TimmBackbone((3, 20, 20), "small", str(path))
    params, stats = backbone.init(torch.Generator())
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert backbone.feature_dim == 4
    assert set(stats) == {"norm.running_mean", "norm.running_var"}
    x = torch.rand(5, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    found, _ = TimmBackbone((3, 20, 20), "small").apply(params, x, stats)
    torch.testing.assert_close(found, features_of(trained, x))


def test_the_size_of_its_images_is_known() -> None:
    assert timm_image_size("small") == 48


def test_what_does_not_fit_is_said(
    trained: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(trained.state_dict() | {"stem.weight": torch.zeros(4, 3, 5, 5)}, path)
    with pytest.raises(InputError, match="those of another network: stem.weight is 4x3x5x5"):
        TimmBackbone((3, 20, 20), "small", str(path)).init(torch.Generator())
    with pytest.raises(InputError, match="has no weights: give a file with --weights"):
        TimmBackbone((3, 20, 20), "small").init(torch.Generator())
    with pytest.raises(InputError, match=r"timm has no network 'smal': did you mean small"):
        TimmBackbone((3, 20, 20), "smal")
    with pytest.raises(InputError, match=r"cannot take images of \(3, 2, 2\).*image_size = 48"):
        TimmBackbone((3, 2, 2), "small")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="need another package: pip install timm"):
        TimmBackbone((3, 20, 20), "small")
