"""A teacher's outputs are matched with the classes of the data by name, not by position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.experiment import runner
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.training.pretrained import PretrainedEncoder
from metaray.platform.training.transfer.blueprint import Domains
from metaray.platform.training.transfer.initialization import initial_state

COLOURS = {"cherry": (200, 20, 20), "grass": (20, 200, 20), "sky": (20, 20, 200)}
GERMAN = {"cherry": "kirsche", "grass": "gras", "sky": "himmel"}  # sorted otherwise
QUIET = [Terminal(Console(quiet=True))]


def settings(root: Path, names: dict[str, str]) -> list[str]:
    """A folder of images of each colour, under these names of the classes."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        folder = root / names[name]
        folder.mkdir(parents=True)
        for i in range(12):
            pixels = np.clip(np.array(colour) + rng.integers(-20, 20, (8, 8, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return [
        "data.name=folder", f"data.root={root}", f"data.cache={root.parent / 'cache'}",
        "data.image_size=8", "data.division=random", "data.val_share=0.25", "data.test_share=0.25",
        "model.name=mlp", "model.width=8", "model.depth=1", "train.batch_size=6",
        "train.shard_size=6", "workers.count=0",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("teacher")
    sets = settings(folder / "data", {name: name for name in COLOURS})
    runner.new(
        TRANSFER.load(None, [*sets, "train.steps=60", "train.lr=0.2"]),
        folder / "run",
        "local",
        QUIET,
    )
    return folder / "run"


def distilled(sets: list[str], teacher: Path, *more: str) -> list[str]:
    return [*sets, "job.name=distill", f"job.teacher={teacher}", "job.label_weight=0", *more]


def test_other_names_are_refused(teacher: Path, tmp_path: Path) -> None:
    config = TRANSFER.load(None, distilled(settings(tmp_path / "data", GERMAN), teacher))
    with pytest.raises(
        InputError,
        match=r"knows the classes cherry, grass, sky, and the data has gras, himmel, kirsche: set "
        r"job.teacher_classes to the teacher's name for each of these, in this order",
    ):
        initial_state(config, Domains.open(config))


def test_given_names_put_the_outputs_in_order(teacher: Path, tmp_path: Path) -> None:
    """The order of the data's classes is gras, himmel, kirsche."""
    given = "job.teacher_classes=['grass', 'sky', 'cherry']"
    sets = distilled(
        settings(tmp_path / "data", GERMAN), teacher, given, "train.steps=60", "train.lr=0.2"
    )
    config = TRANSFER.load(None, sets)
    start = initial_state(config, Domains.open(config))
    _, buffers = start.checkpoint.named
    head = PretrainedEncoder.read(teacher).head()
    for name, rows in head.items():
        assert torch.equal(buffers[f"teacher.{name}"], rows[[1, 2, 0]])
    summary = runner.new(config, tmp_path / "run", "local", QUIET)
    assert summary["accuracy"] == 1.0  # no label was read


def test_wrong_names_are_refused(teacher: Path, tmp_path: Path) -> None:
    given = "job.teacher_classes=['grass', 'sky', 'plum']"
    sets = distilled(settings(tmp_path / "data", GERMAN), teacher, given)
    config = TRANSFER.load(None, sets)
    with pytest.raises(InputError, match=r"in this order \(it is grass, sky, plum\)"):
        initial_state(config, Domains.open(config))
    with pytest.raises(InputError, match="teacher_classes has no effect where job.soft_weight = 0"):
        TRANSFER.load(None, [*sets, "job.soft_weight=0", "job.hint_weight=1"])


def test_a_teacher_without_names_knows_only_its_own_data(teacher: Path, tmp_path: Path) -> None:
    """As those of older versions, and of meta-training over classes."""
    data = teacher / "data.json"
    recorded = data.read_text()
    data.write_text(recorded.replace('"cherry",', "").replace('"grass",', "").replace('"sky"', ""))
    try:
        mine = [f"data.root={teacher.parent / 'data'}", f"data.cache={teacher.parent / 'cache'}"]
        sets = settings(tmp_path / "data", GERMAN)
        config = TRANSFER.load(None, distilled([*sets, *mine], teacher))
        initial_state(config, Domains.open(config))
        config = TRANSFER.load(None, distilled(sets, teacher))
        with pytest.raises(InputError, match="does not record the names of its classes"):
            initial_state(config, Domains.open(config))
    finally:
        data.write_text(recorded)
