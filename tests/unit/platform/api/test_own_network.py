"""A network of the user's own in a method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

import metaray as mr
from metaray.platform.api.models import check_importable


class OwnNetwork(nn.Module):
    """One layer with batch norm."""

    def __init__(self, input_shape: tuple[int, ...], config: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(input_shape[0], 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def test_a_class_is_trained_and_found_again(cache: Path, tmp_path: Path) -> None:
    trainer = mr.Trainer(
        mr.MAML(OwnNetwork, inner_lr=0.1),
        mr.datasets.Glyphs(num_classes=100, image_size=16, cache=cache),
        ways=3,
        queries=2,
        settings={"task.train_queries": 2, "evaluate.num_episodes": 2},
        progress=False,
    )
    run = trainer.fit(out=tmp_path / "run", outer_steps=1, validate_every=0, meta_batch_size=2)
    assert run.config.model.name == f"{Path(__file__).absolute()}:OwnNetwork"
    assert run.summary["num_parameters"] > 4 * 9 + 8
    assert 0 <= run.evaluate(episodes=2, progress=False).accuracy <= 1


def test_an_object_or_a_lambda_is_refused() -> None:
    with pytest.raises(mr.InputError, match="give a class or function"):
        mr.MAML(lambda shape, config: nn.Flatten())
    with pytest.raises(mr.InputError, match="give a class or function"):
        mr.MAML(nn.Flatten())


def test_a_class_of_the_script_itself_cannot_go_to_workers() -> None:
    with pytest.raises(mr.InputError, match="Net is defined in the script or notebook itself"):
        check_importable("__main__:Net", other_processes=True)
    check_importable("__main__:Net", other_processes=False)
