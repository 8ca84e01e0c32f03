"""How long a job trains unless told otherwise, and how the command to repeat it says so."""

from __future__ import annotations

import shlex

import pytest

from metaray.platform.config.commands import train_command
from metaray.platform.experiment.transfer import TRANSFER


@pytest.mark.parametrize(
    ("sets", "epochs", "steps"),
    [
        (["job.name=finetune"], 20.0, None),
        (["job.name=finetune", "data.labels_per_class=5"], 20.0, 500),
        (["job.name=simclr"], 50.0, None),
        (["job.name=moco", "data.labels_per_class=5"], 50.0, None),  # they see all images
        (["job.name=moco", "train.epochs=3"], 3.0, None),
        (["job.name=simclr", "train.steps=70"], 20.0, 70),
    ],
)
def test_steps_or_passes(sets: list[str], epochs: float, steps: int | None) -> None:
    config = TRANSFER.load(None, sets)
    assert (config.train.epochs, config.train.steps) == (epochs, steps)
    words = shlex.split(" ".join(train_command(config)))
    assert words[:3] == ["metaray", "transfer", config.job.name]
    again = TRANSFER.load(None, [f"job.name={config.job.name}", *words[4::2]])
    assert again == config
    assert ("train.epochs" in " ".join(words)) == ("train.epochs=3" in sets)
