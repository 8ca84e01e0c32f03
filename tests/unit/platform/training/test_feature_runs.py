"""Meta-training and meta-test on vectors: every method, with an MLP or no network at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from metaray.algorithms.errors import InputError
from metaray.algorithms.recipes.quick import HEADS
from metaray.algorithms.registry import METHODS
from metaray.platform.cli.main import app
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.meta_data import open_fitted
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.messages import train_requests
from metaray.platform.training.meta.pool import LocalPool


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty classes, well apart."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(20), 10)
    x = 2 * rng.normal(size=(20, 6))[y] + rng.normal(size=(200, 6))
    path = tmp_path_factory.mktemp("vectors") / "vectors.npz"
    np.savez(path, x=x, y=y)
    return path


def sets(vectors: Path, *more: str) -> list[str]:
    return [
        "data.name=features", f"data.root={vectors}", f"data.cache={vectors.parent}",
        "task.ways=3", "task.queries=3", "train.meta_batch_size=2", "evaluate.num_episodes=6",
        "train.validate_every=0", "workers.count=0", *more,
    ]  # fmt: skip


def opened(vectors: Path, *more: str) -> Blueprint:
    config: RunConfig = META.load(None, sets(vectors, *more))
    source, config, _ = open_fitted(config, "local")
    return Blueprint(config, source)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_computes_a_step_and_a_test(name: str, vectors: Path) -> None:
    network = ("model.name=mlp",) if name in (*HEADS, "caml") else ()
    sets = ("train.outer_steps=1", "model.width=8", *network)
    blueprint = opened(vectors, f"method.name={name}", *sets)
    assert blueprint.config.model.name == "mlp"
    pool = LocalPool(blueprint)
    pool.train_step(train_requests(0, blueprint.config.train))
    test = evaluate(pool, blueprint, "test", 6)
    assert 0 <= test.headline()["accuracy"] <= 1


@pytest.mark.drawn
def test_a_method_without_parameters_is_tested_alone(vectors: Path, tmp_path: Path) -> None:
    settings = sets(vectors, "method.name=protonet", "model.name=identity", "train.outer_steps=0")
    run = tmp_path / "run"
    arguments = ["train", "--out", str(run), *(a for s in settings for a in ("--set", s))]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "(not trained; 6 test episodes" in result.output
    summary = json.loads((run / "summary.json").read_text())
    assert summary["accuracy"] > 0.6
    assert summary["num_parameters"] == 0
    assert summary["splits"]["test"] == {"classes": 4, "images": 40}
    page = (run / "report.html").read_text()
    assert "the method learns each task from the vectors as they are" in page
    assert "one labelled vector" in page
    assert "outer steps done" not in page
    evaluated = CliRunner().invoke(
        app, ["evaluate", str(run), "--set", "task.shots=3"], catch_exceptions=False
    )
    assert "3-way 3-shot" in evaluated.output
    data = json.loads((run / "data.json").read_text())["source"]
    assert data["input_shape"] == [6]
    assert len(data["content_sha256"]) == 64


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_tested_on_the_vectors_as_they_are(name: str, vectors: Path) -> None:
    few_queries = ["method.neighbours=1"] if name == "laplacianshot" else []
    blueprint = opened(vectors, f"method.name={name}", *few_queries)
    assert blueprint.config.model.name == "identity"
    assert blueprint.config.train.outer_steps == 0
    test = evaluate(LocalPool(blueprint), blueprint, "test", 30)
    assert test.headline()["accuracy"] > 0.75


def test_what_cannot_be_trained_says_so(vectors: Path) -> None:
    blueprint = opened(vectors, "method.name=protonet", "train.outer_steps=0")
    assert blueprint.layouts[0].size > 0
    with pytest.raises(InputError, match="protonet over model.name = identity has no parameters"):
        opened(vectors, "method.name=protonet", "model.name=identity").layouts  # noqa: B018
    with pytest.raises(InputError, match="has no images for conv4: set model.name to one of mlp"):
        opened(vectors, "model.name=conv4")


def test_defaults_are_lowered_to_the_vectors_that_there_are(vectors: Path) -> None:
    config: RunConfig = META.load(None, ["data.name=features", f"data.root={vectors}"])
    _, fitted, sentence = open_fitted(config, "local")
    assert "9 = " not in sentence
    assert "has 10 vectors" in sentence
    assert fitted.task.queries == 9
