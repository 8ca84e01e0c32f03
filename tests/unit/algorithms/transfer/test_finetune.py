"""What fine-tuning trains, and how fast."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.transfer.finetune import FineTuning
from metaray.algorithms.transfer.finetune_config import FinetuneConfig
from metaray.algorithms.transfer.layer_rates import layer_rates
from metaray.algorithms.transfer.objective import Networks, Shard

SHAPE = (3, 32, 32)


def objective(**settings: Any) -> FineTuning:
    backbone = build_backbone(ModelConfig(name="conv4", width=4), SHAPE)
    return FineTuning(FinetuneConfig(**settings), Networks(backbone, SHAPE, 3))


def shard(size: int = 6) -> Shard:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(size, *SHAPE, generator=generator)
    y = torch.arange(size) % 3
    return Shard((x,), (y,), torch.arange(size), torch.tensor(1))


@pytest.mark.parametrize(
    "model",
    [
        {"name": "conv4"},
        {"name": "conv4_strided"},
        {"name": "resnet12", "width": 4},
        {"name": "wrn28_10", "width": 4},
        {"name": "mlp"},
        {"name": "torchvision", "arch": "resnet18"},
        {"name": "torchvision", "arch": "mobilenet_v3_small"},
        {"name": "torchvision", "arch": "vgg11_bn"},
    ],
    ids=lambda model: model.get("arch", model["name"]),
)
def test_layer_groups_hold_every_parameter_once_from_input_to_output(model: Any) -> None:
    backbone = build_backbone(ModelConfig(**model), SHAPE)
    names = list(backbone.init(torch.Generator())[0])
    groups = backbone.layer_groups(names)
    assert sorted(name for group in groups for name in group) == sorted(names)
    assert names[0] in groups[0]
    assert len(groups) >= 2
    firsts = [names.index(group[0]) for group in groups]
    assert firsts == sorted(firsts)


def test_rates_of_the_strategies() -> None:
    def rates(progress: float = 0.0, **settings: Any) -> list[float]:
        return layer_rates(FinetuneConfig(**settings), 4, progress)

    assert rates() == [1, 1, 1, 1]
    assert rates(strategy="head") == [0, 0, 0, 1]
    assert rates(strategy="last_blocks", last_blocks=2) == [0, 1, 1, 1]
    assert rates(strategy="last_blocks", last_blocks=9) == [1, 1, 1, 1]
    assert rates(strategy="discriminative") == pytest.approx([2.6**-3, 2.6**-2, 1 / 2.6, 1])
    thawed = [sum(rates(p / 10, strategy="gradual", unfreeze_share=0.9)) for p in range(10)]
    assert thawed == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]


def test_frozen_norms_use_and_keep_their_running_statistics() -> None:
    probe = objective(strategy="head")
    state = probe.init(0)
    batch = shard()
    logits = probe.forward(state, batch, 0.0)
    assert logits.batch_stats == {}
    torch.testing.assert_close(logits.outputs["logits"], probe.predict(state, batch.images[0]))
    partly = objective(strategy="last_blocks").forward(state, batch, 0.0)
    assert {name.split(".")[0] for name in partly.batch_stats} == {"block3"}
    assert len(objective().forward(state, batch, 0.0).batch_stats) == 8


def test_l2_sp_pulls_to_the_start() -> None:
    pulled = objective(l2_sp=0.5)
    state = pulled.init(0)
    outputs, labels = {"logits": torch.zeros(6, 3)}, shard().labels
    at_start, _ = pulled.loss(state, outputs, labels, 0.0)
    moved = state._replace(
        params={name: p + 0.1 if name == "block0.conv" else p for name, p in state.params.items()}
    )
    away, metrics = pulled.loss(moved, outputs, labels, 0.0)
    count = state.params["block0.conv"].numel()
    assert float(away - at_start) == pytest.approx(0.25 * count * 0.01, rel=1e-4)
    assert float(metrics["distance"]) == pytest.approx((count * 0.01) ** 0.5, rel=1e-4)
    assert pulled.decays("head.weight")
    assert not pulled.decays("block0.conv")
    assert pulled.encoder(state).buffers.keys() == objective().encoder(state).buffers.keys()


def test_dropout_is_a_function_of_the_key_and_off_in_prediction() -> None:
    dropping = objective(dropout=0.5, strategy="head")
    state = dropping.init(0)
    batch = shard()
    one, again = (dropping.forward(state, batch, 0.0).outputs["logits"] for _ in range(2))
    other = dropping.forward(state, batch._replace(key=torch.tensor(2)), 0.0).outputs["logits"]
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    plain = objective(strategy="head").predict(state, batch.images[0])
    assert torch.equal(dropping.predict(state, batch.images[0]), plain)


@pytest.mark.parametrize(
    "settings",
    [{"last_blocks": 2}, {"rate_factor": 2.0}, {"unfreeze_share": 0.3, "strategy": "head"}],
)
def test_settings_of_other_strategies_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has no effect on the strategy"):
        FinetuneConfig(**settings)


def test_l2_sp_of_a_frozen_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="job.l2_sp has no effect"):
        FinetuneConfig(strategy="head", l2_sp=0.1)


def test_images_are_augmented_where_that_is_asked_for() -> None:
    (plain,), (moved,) = objective().views, objective(augment=True).views
    assert plain.transform is None
    assert moved.transform is not None
    assert moved.labelled
    image = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    views = [moved.transform(image, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
