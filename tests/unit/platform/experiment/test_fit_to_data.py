"""Defaults fit the data at hand, what the user has set stays, and what was chosen is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metaray.algorithms.errors import InputError
from metaray.platform.config.loading import override
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.transfer import TRANSFER

RATIO = "data.split_ratio=[0.5,0.25,0.25]"


def write_images(folder: Path, classes: int, images: int) -> None:
    rng = np.random.default_rng(classes)
    for label in range(classes):
        (folder / f"class {label}").mkdir(parents=True)
        for image in range(images):
            pixels = rng.integers(0, 255, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class {label}" / f"{image}.png")


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Settings of twelve classes of eight images."""
    write_images(tmp_path / "photos", 12, 8)
    return [
        "data.name=folder",
        f"data.root={tmp_path / 'photos'}",
        f"data.cache={tmp_path / 'cache'}",
        "data.image_size=16",
        "workers.count=0",
    ]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("maml", {"ways": 3, "train_ways": 3, "queries": 7, "train_queries": 7}),
        ("protonet", {"ways": 3, "train_ways": 5, "queries": 7, "train_queries": 7}),
        ("baseline", {"ways": 3, "queries": 7}),
    ],
)
def test_what_the_user_left_open_fits(
    photos: list[str], method: str, expected: dict[str, int]
) -> None:
    config = META.load(None, [*photos, RATIO, f"method.name={method}"])
    fitted, sentence = META.fitted(config)
    assert {key: getattr(fitted.task, key) for key in expected} == expected
    assert "task.ways = 3 (the test split has 3 classes)" in sentence
    assert "has 8 images" in sentence
    again, nothing = META.fitted(fitted)
    assert again == fitted
    assert nothing == ""


def test_what_the_user_has_set_stays(photos: list[str]) -> None:
    config = META.load(None, [*photos, RATIO, "task.ways=5"])
    with pytest.raises(InputError, match="fewer than the 5 ways"):
        META.fitted(config)


def test_a_config_that_is_not_of_a_user_stays(photos: list[str]) -> None:
    config = override(META.load(None, [*photos, RATIO]), ["seed=1"])
    with pytest.raises(InputError, match="lower task.train_shots or task.train_queries"):
        META.fitted(config)


def test_a_run_keeps_what_was_chosen(photos: list[str], tmp_path: Path) -> None:
    small = ["train.outer_steps=1", "train.validate_every=0", "model.width=4"]
    few = ["train.meta_batch_size=2", "evaluate.num_episodes=2", "method.name=protonet"]
    config = META.load(None, [*photos, RATIO, *small, *few, "model.name=conv4_strided"])
    session = runner.fit(config, tmp_path / "run", "local")
    assert META.read(session.run.config).task.ways == 3
    assert runner.fit(config, tmp_path / "run", "local").config.task.ways == 3
    other = META.load(None, [*photos, RATIO, *small, *few, "model.name=conv4_strided", "seed=1"])
    with pytest.raises(InputError, match="holds a run with another seed"):
        runner.fit(other, tmp_path / "run", "local")


def test_a_folder_without_parts_is_divided_at_random(photos: list[str], tmp_path: Path) -> None:
    config = TRANSFER.load(None, [*photos, "job.name=finetune"])
    fitted, sentence = TRANSFER.fitted(config)
    assert fitted.data.division == "random"
    assert sentence.startswith("data.division = random: there is no train and test folder")
    for part in ("train", "test"):
        write_images(tmp_path / "parted" / part, 3, 4)
    parted = [*photos, f"data.root={tmp_path / 'parted'}", "job.name=finetune"]
    kept, nothing = TRANSFER.fitted(TRANSFER.load(None, parted))
    assert (kept.data.division, nothing) == ("published", "")


def test_published_parts_that_were_asked_for_must_be_there(photos: list[str]) -> None:
    config = TRANSFER.load(None, [*photos, "job.name=finetune", "data.division=published"])
    with pytest.raises(InputError, match="publishes no parts"):
        TRANSFER.fitted(config)
