"""Copies of images are counted, reported, and left out on request."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import prepare
from metaray.algorithms.tasks.duplicates import repeats_within_classes
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.transfer.domain_config import DomainConfig
from metaray.algorithms.transfer.examples import open_examples
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.cli.main import app
from metaray.platform.experiment import runner
from metaray.platform.experiment.transfer import TRANSFER

SIZE = 8


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Five classes of six images, of which two are copies within their class."""
    for animal in range(5):
        for i in range(6):
            write(tmp_path / "pets" / f"animal{animal}" / f"{i}.png", 100 * animal + i % 4)
    return tmp_path / "pets"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Noise of three classes, of which all test images are among the training images."""
    for animal in range(3):
        for i in range(8):
            write(tmp_path / "noise" / "train" / f"animal{animal}" / f"{i}.png", 100 * animal + i)
        for i in range(4):
            write(tmp_path / "noise" / "test" / f"animal{animal}" / f"t{i}.png", 100 * animal + i)
    return tmp_path / "noise"


def data_of(root: Path, **settings: bool) -> DataConfig:
    cache = str(root.parent / "cache")
    return DataConfig(name="folder", root=str(root), cache=cache, image_size=SIZE, **settings)


def test_they_are_left_out_on_request(copied: Path) -> None:
    with_copies = ImageStore.open(prepare(data_of(copied)))
    without = ImageStore.open(prepare(data_of(copied, drop_duplicates=True)))
    assert with_copies.path != without.path
    for store, count, repeats in ((with_copies, 6, 10), (without, 4, 0)):
        assert {len(store.images(c)) for c in range(5)} == {count}
        assert repeats_within_classes(store) == repeats


def test_prepare_counts_them_and_takes_the_option(copied: Path) -> None:
    where = ["--root", str(copied), "--cache", str(copied.parent / "cache"), "--image-size", "8"]
    done = CliRunner().invoke(app, ["data", "prepare", "folder", *where])
    assert done.exit_code == 0, done.output
    assert "10 images occur more than once within a class" in done.output
    assert "set data.drop_duplicates = true" in done.output
    done = CliRunner().invoke(app, ["data", "prepare", "folder", *where, "--drop-duplicates"])
    assert done.exit_code == 0, done.output
    assert "more than once" not in done.output


def domain(root: Path, **settings: bool) -> DomainConfig:
    return DomainConfig(
        name="folder", root=str(root), cache=str(root.parent / "cache"), image_size=SIZE, **settings
    )


def test_those_between_training_and_test_are_counted_and_the_test_keeps_its_own(
    parts: Path,
) -> None:
    leaked = open_examples(domain(parts))
    assert 9 <= leaked.num_leaked() <= leaked.count("test") == 12  # validation has the others
    clean = open_examples(domain(parts, drop_duplicates=True))
    assert (clean.num_leaked(), clean.count("test")) == (0, 12)
    assert clean.count("train") + clean.count("val") == 12


def test_a_job_says_so(parts: Path, tmp_path: Path) -> None:
    sets = [
        "data.name=folder", f"data.root={parts}", f"data.cache={tmp_path / 'cache'}",
        f"data.image_size={SIZE}", "model.name=mlp", "model.width=4", "train.steps=1",
        "train.batch_size=4", "train.shard_size=4", "workers.count=0",
    ]  # fmt: skip
    shown = Console(record=True, width=300, file=io.StringIO())
    for name, more in (("a", []), ("b", ["data.drop_duplicates=true"])):
        config = TRANSFER.load(None, [*sets, *more])
        runner.new(config, tmp_path / name, "local", [Terminal(shown)])
        told = shown.export_text()
        assert bool(re.search(r"\d+ of 12 test images are training images too", told)) == (not more)


def test_a_class_of_copies_alone_is_an_error(parts: Path) -> None:
    for path in (parts / "train" / "animal1").iterdir():
        if int(path.stem) >= 4:
            path.unlink()
    with pytest.raises(InputError, match="class train/animal1 has only images that are copies"):
        open_examples(domain(parts, drop_duplicates=True))


def test_other_sets_do_not_take_the_setting() -> None:
    with pytest.raises(InputError, match="data.drop_duplicates has no effect on glyphs"):
        prepare(DataConfig(drop_duplicates=True))
