"""What ``fit`` finds in a folder, and what it chooses for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.folder_survey import Survey, survey
from metaray.platform.api.fitting import few_steps, settings_of
from metaray.platform.experiment.own_pictures import chosen_for, found_in

SURVEY = Survey(
    counts={f"class {k}": 20 for k in range(12)}, left_out=(), copies=0, unread=(),
    smallest_side=30, median_side=70, largest_side=900, grey=False,
)  # fmt: skip


def chosen(seconds: float = 300.0, device: str = "cpu", **changes: Any) -> dict[str, Any]:
    found = replace(SURVEY, **changes)
    return {k: v for one in chosen_for(found, seconds, device) for k, v in one.settings.items()}


def test_the_folder_is_described(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, count in (("a", 2), ("b", 3)):
        (tmp_path / name).mkdir()
        for index in range(count):
            pixels = rng.integers(0, 255, (20 + 10 * index, 64), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    (tmp_path / "b" / "copy.png").write_bytes((tmp_path / "a" / "1.png").read_bytes())
    (tmp_path / "a" / "torn.jpg").write_bytes(b"torn")
    (tmp_path / "notes.txt").write_text("no picture")
    found = survey(tmp_path)
    assert found.counts == {"a": 3, "b": 4}
    assert (found.smallest_side, found.median_side, found.largest_side) == (20, 30, 40)
    assert found.copies == 1
    assert found.grey
    text = "\n".join(found_in(found))
    for words in (
        "found 7 pictures of 2 classes: 3 (a) to 4 (b) of a class", "20 to 40 pixels", "are grey",
        "copies of others: 1", "notes.txt", "torn.jpg is not an image",
    ):  # fmt: skip
        assert words in text, words
    red = np.zeros((30, 30, 3), np.uint8)
    red[..., 0] = 200
    Image.fromarray(red).save(tmp_path / "a" / "red.png")
    assert not survey(tmp_path).grey


def test_training_leaves_time_for_the_rest() -> None:
    def training_s(seconds: float, spent_s: float) -> float:
        (one,) = [
            c
            for c in chosen_for(SURVEY, seconds, "cpu", spent_s=spent_s)
            if "train.time_budget_s" in c.settings
        ]
        return float(one.settings["train.time_budget_s"])

    assert training_s(600, 0) == 480
    assert training_s(600, 30) == 450
    assert training_s(60, 5) == 40
    assert training_s(10, 5) == 5  # less would learn nothing


def test_size_follows_the_pictures_and_the_device() -> None:
    assert chosen()["data.image_size"] == 64
    assert chosen(device="cuda", median_side=200)["data.image_size"] == 84
    assert chosen(median_side=20)["data.image_size"] == 28
    assert chosen(median_side=40)["data.image_size"] == 32
    assert chosen(seconds=60.0)["data.image_size"] == 32
    assert chosen(seconds=60.0, device="cuda")["data.image_size"] == 64


def test_what_is_equal_is_said_once() -> None:
    equal = replace(SURVEY, counts={"a": 4, "b": 4}, smallest_side=32, largest_side=32)
    first, second, *_ = found_in(equal)
    assert first.endswith("classes: 4 of each")
    assert "sides have 32 pixels" in second


def test_grey_pictures_have_one_channel_and_are_not_flipped() -> None:
    grey = chosen(grey=True)
    assert grey["data.channels"] == 1
    assert "data.augment" not in grey
    assert chosen()["data.augment"] is True


@pytest.mark.parametrize(
    ("classes", "parts"), [(6, (2, 2, 2)), (9, (5, 2, 2)), (10, (4, 3, 3)), (100, (60, 20, 20))]
)
def test_classes_are_divided(classes: int, parts: tuple[int, int, int]) -> None:
    settings = chosen(counts={str(k): 20 for k in range(classes)})
    shares = settings["data.split_ratio"]
    assert sum(shares) == pytest.approx(1.0)
    assert [round(share * classes) for share in shares] == list(parts)
    assert settings["task.ways"] == min(5, parts[1], parts[0])


def test_episodes_fit_the_smallest_class() -> None:
    few = chosen(counts={**SURVEY.counts, "class 3": 3})
    assert (few["task.shots"], few["task.queries"]) == (1, 2)
    assert (chosen()["task.shots"], chosen()["task.queries"]) == (5, 10)
    assert chosen(copies=2)["data.drop_duplicates"] is True


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"counts": {"a": 9, "b": 9}}, "2 classes are too few .* 6 or more.*finetune"),
        ({"counts": {**SURVEY.counts, "lone": 1}}, "class lone has 1 picture"),
    ],
)
def test_too_little_is_said(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        chosen(**changes)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label in range(7):
        (tmp_path / f"class {label}").mkdir()
        for image in range(4):
            Image.new("RGB", (30, 30), (30 * label, 60 * image, 9)).save(
                tmp_path / f"class {label}" / f"{image}.png"
            )
    return tmp_path


def test_what_the_user_sets_stays(photos: Path) -> None:
    told: list[str] = []
    own = ["data.image_size=40", "task.shots=1", "method.name=maml"]
    config = settings_of(photos, 100.0, own, told.append)
    assert config.data.image_size == 40
    assert config.task.shots == 1
    assert config.method.name == "maml"
    assert config.task.train_ways == config.task.ways == 2  # its head is fixed
    assert config.train.time_budget_s is not None
    assert 70 < config.train.time_budget_s <= 80
    assert not any("data.image_size" in sentence for sentence in told)
    assert any("trains with as many classes as it is tested with" in one for one in told)


def test_the_settings_hold_for_a_folder(photos: Path) -> None:
    config = settings_of(photos, 100.0, [], lambda sentence: None)
    assert (config.method.name, config.data.name) == ("protonet", "folder")
    assert config.data.root == str(photos)
    assert config.task.train_ways == 3
    with pytest.raises(InputError, match="no such folder"):
        settings_of(photos / "nowhere", 100.0, [], lambda sentence: None)


def test_a_time_that_was_too_short_is_said(photos: Path) -> None:
    def said(steps: int, *own: str) -> str | None:
        config = settings_of(photos, 100.0, own, lambda sentence: None)
        return few_steps({"outer_steps": steps}, config)

    assert said(50) is None
    assert said(2, "train.outer_steps=2") is None  # as many as were wanted
    small, large = said(6, "data.image_size=28"), said(6, "data.image_size=80")
    assert small is not None
    assert small.endswith("6 steps, which are few: give more with --time")
    assert large is not None
    assert large.endswith("take smaller images (--set data.image_size=40)")
