"""Runs on the features of ``metaray embed`` read pictures by the encoder that made the features."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_shapes import drawing
from rich.console import Console

import metaray as mr
from metaray.algorithms.algorithm import State
from metaray.algorithms.atomic import write_json
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.registry import build_algorithm
from metaray.algorithms.tasks.embedding_record import EmbeddingRecord, encoder_file, record_file
from metaray.platform.api.embedding import embed
from metaray.platform.api.loading import load_learner
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.inference.learner import Learner

QUIET = [Terminal(Console(quiet=True))]
SUPPORT = [drawing(shape, seed) for shape in ("bar", "cross") for seed in (1, 2)]
LABELS = ["bar", "bar", "cross", "cross"]
QUERIES = [drawing(shape, 7) for shape in ("cross", "bar", "circle")]


@pytest.fixture(scope="module")
def features(trained: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("encoded") / "features"
    embed(trained, "glyphs", folder, workers=0, cache=str(cache), num_classes=60)
    return folder


def run_on(features: Path, out: Path, *sets: str) -> Path:
    settings = [
        "data.name=features", f"data.root={features}", "data.split=source", "task.ways=3",
        "task.queries=2", "evaluate.num_episodes=4", "train.outer_steps=0", "workers.count=0",
        *sets,
    ]  # fmt: skip
    runner.new(META.load(None, settings), out, "local", QUIET)
    return out


TRAINED = ("train.outer_steps=2", "train.meta_batch_size=2", "train.validate_every=0",
           "train.validate_episodes=4", "model.width=8")  # fmt: skip


@pytest.mark.parametrize(
    "sets",
    [
        ("method.name=logistic",),
        ("method.name=nearest_mean", "data.centre=true"),
        ("method.name=protonet", *TRAINED),
        ("method.name=maml", *TRAINED),
    ],
    ids=["logistic", "centred", "protonet", "maml"],
)
def test_predictions_for_pictures_are_those_for_their_features(
    sets: tuple[str, ...], features: Path, learner: Learner, tmp_path: Path
) -> None:
    """Computed here by hand: pictures, encoder, mean, then the method as the run has it."""
    over = load_learner(run_on(features, tmp_path / "run", *sets))
    ways = over.spec.ways or 2
    pictures, labels = SUPPORT, LABELS
    if ways == 3:  # its head is fixed
        pictures, labels = [*SUPPORT, drawing("circle", 3)], [*LABELS, "circle"]
    model = over.adapt(pictures, labels)

    def vectors(images: list[Any]) -> torch.Tensor:
        x = learner.reader().read(images)
        state = learner.state
        found, _ = learner.algorithm.backbone.apply(state.params, x, state.buffers)
        return found - mean if "data.centre=true" in sets else found

    config = over.spec
    source = META.load(None, ["data.name=features", f"data.root={features}", "data.split=source"])
    from metaray.algorithms.tasks.catalog import build_source

    mean = torch.from_numpy(build_source(source.data).training_mean)  # type: ignore[attr-defined]
    size = len(mean)
    algorithm = build_algorithm(
        config.method,  # type: ignore[arg-type]
        build_backbone(config.model, (size,)), "classification", config.num_outputs,
    )  # fmt: skip
    order = sorted(set(labels))
    y = torch.tensor([order.index(label) for label in labels])
    adapted = algorithm.adapt(over.state, vectors(pictures), y, ways, "inductive")[-1]
    logits = algorithm.predict(adapted, vectors(QUERIES)).detach()[:, :ways]
    calibration = config.calibration
    wanted = torch.softmax(logits / (calibration.temperature if calibration else 1.0), 1)
    np.testing.assert_allclose(model.predict_proba(QUERIES), wanted, rtol=1e-4, atol=1e-6)


def test_saved_pickled_and_loaded_it_predicts_the_same_without_the_features(
    features: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "features"
    shutil.copytree(features, copy)
    over = load_learner(run_on(copy, tmp_path / "run", "method.name=ridge"))
    model = over.adapt(SUPPORT, LABELS)
    wanted = model.predict_proba(QUERIES)
    over.save(tmp_path / "saved")
    model.save(tmp_path / "adapted")
    shutil.rmtree(copy)
    again = load_learner(tmp_path / "saved")
    assert again.spec == over.spec
    assert np.array_equal(again.adapt(SUPPORT, LABELS).predict_proba(QUERIES), wanted)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(QUERIES), wanted)
    assert np.array_equal(mr.load(tmp_path / "adapted").predict_proba(QUERIES), wanted)
    with pytest.raises(InputError, match="no folder of metaray embed is there, whose encoder"):
        load_learner(tmp_path / "run")


def test_its_export_takes_pictures(features: Path, tmp_path: Path) -> None:
    run = run_on(features, tmp_path / "run", "method.name=nearest_mean")
    files = {one.file: one for one in mr.export(run, tmp_path / "exported")}
    assert files["classifier.onnx"].difference < 1e-3
    assert files["embedding.pt2"].difference < 1e-3
    network = torch.export.load(tmp_path / "exported" / "embedding.pt2").module()
    over = load_learner(run)
    x = over.reader().read(QUERIES)
    with torch.no_grad():
        torch.testing.assert_close(network(x), over.inputs(x), rtol=1e-4, atol=1e-5)
    assert (
        "random pictures, since its data are vectors"
        in (tmp_path / "exported" / "README.md").read_text()
    )


def test_features_of_an_older_version_get_their_encoder_by_embedding_again(
    features: Path, trained: Path, cache: Path, tmp_path: Path
) -> None:
    old = tmp_path / "features"
    shutil.copytree(features, old)
    encoder_file(old).unlink()
    record = EmbeddingRecord.read(old).model_dump(mode="json")
    del record["pictures"]
    write_json(record_file(old), record)
    run = run_on(old, tmp_path / "run", "method.name=lda")
    with pytest.raises(InputError, match="did not keep the encoder: run the same metaray embed"):
        load_learner(run)
    found = embed(trained, "glyphs", old, workers=0, cache=str(cache), num_classes=60)
    assert found.computed == 0
    assert load_learner(run).adapt(SUPPORT, LABELS).predict(QUERIES).shape == (3,)
    assert encoder_file(old).read_bytes() == encoder_file(features).read_bytes()


def test_features_of_timm_of_an_older_version_are_embedded_again_elsewhere(
    features: Path, tmp_path: Path
) -> None:
    old = tmp_path / "features"
    shutil.copytree(features, old)
    run = run_on(old, tmp_path / "run", "method.name=lda")
    record = EmbeddingRecord.read(old)
    encoder = {"name": "timm:test_resnet", "weights_sha256": "0" * 64}
    record.model_copy(update={"encoder": encoder}).write(old)
    with pytest.raises(InputError, match="run metaray embed into a new folder, and train on that"):
        load_learner(run)


def test_other_vectors_in_the_folder_are_noticed(
    features: Path, trained: Path, cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "features"
    shutil.copytree(features, folder)
    run = run_on(folder, tmp_path / "run", "method.name=knn")
    shutil.rmtree(folder)
    embed(trained, "glyphs", folder, workers=0, cache=str(cache), num_classes=61)
    with pytest.raises(InputError, match="holds other vectors than .* was trained on"):
        load_learner(run)


def test_vectors_from_a_file_have_no_encoder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "v.npz", x=rng.normal(size=(200, 5)), y=np.repeat(np.arange(20), 10))
    run = run_on(tmp_path / "v.npz", tmp_path / "run", "method.name=knn", "data.split=random")
    with pytest.raises(InputError, match="was trained on the vectors of .*v.npz, and no folder of"):
        load_learner(run)


def test_the_state_of_the_encoder_is_apart_from_that_of_the_method(
    features: Path, tmp_path: Path
) -> None:
    over = load_learner(run_on(features, tmp_path / "run", "method.name=ridge"))
    assert over.state == State({}, {}) or not any("encoder" in n for n in over.state.buffers)
    assert any(name.startswith("encoder.params.") for name in over.tensors.buffers)
