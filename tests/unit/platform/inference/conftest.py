"""A small trained run, and drawings of circles, crosses and bars as a user has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_shapes import drawing
from rich.console import Console

from metaray.platform.api.loading import load_learner
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.inference.learner import Learner

QUIET = [Terminal(Console(quiet=True))]
SHAPES = ("bar", "circle", "cross")


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``support`` (uneven numbers) and ``query`` with a file that is no image."""
    root = tmp_path_factory.mktemp("drawings")
    for number, shape in enumerate(SHAPES):
        for part, count in (("support", 1 + number), ("query", 4)):
            folder = root / part / shape
            folder.mkdir(parents=True)
            for index in range(count):
                seed = 100 * number + 10 * index + (part == "query")
                drawing(shape, seed).save(folder / f"{index}.png")
    (root / "query" / "circle" / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    (root / "query" / "notes.txt").write_text("no image")
    return root


@pytest.fixture(scope="session")
def trained(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ProtoNet with three ways, so that six validation classes set a threshold."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    more = ["method.name=protonet", "task.ways=3", "train.outer_steps=20"]
    runner.new(META.load(None, [*tiny, *more]), folder, "local", QUIET)
    return folder


@pytest.fixture(scope="session")
def learner(trained: Path) -> Learner:
    return load_learner(trained)
