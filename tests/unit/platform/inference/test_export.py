"""Exported files compute what the model does, at sizes other than those they were traced with."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from fixtures import SMALL
from test_learners import random_learner

import metaray as mr
from metaray.algorithms.errors import InputError
from metaray.platform.api.loading import load_learner
from metaray.platform.inference import export
from metaray.platform.inference.adapted_model import AdaptedModel
from metaray.platform.inference.card import model_card
from metaray.platform.inference.learner import Learner

BY_SUPPORT = {
    "maml", "fomaml", "anil", "reptile", "metasgd", "protomaml", "imaml",
}  # fmt: skip
METRIC = {"protonet", "siamese", "relation", "nearest_mean", None}
IN_DEFAULT = ("maml", "mamlpp", "relation")  # the others by hand; ProtoNet is exported below


def tasks() -> list[export.Task]:
    generator = torch.Generator().manual_seed(0)
    return [
        export.Task(
            support_x=torch.rand(2 * ways, 1, 16, 16, generator=generator),
            support_y=torch.arange(ways).repeat(2),
            query_x=torch.rand(ways, 1, 16, 16, generator=generator),
        )
        for ways in (4, 3)
    ]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in IN_DEFAULT else pytest.mark.slow)
        for name in (*SMALL, None)
    ],
)
def test_each_file_is_compared_with_the_model(name: str | None, tmp_path: Path) -> None:
    written = export.export_networks(random_learner(name), tmp_path, tasks())
    files = {one.file: one for one in written}
    kinds = {"embedding", "classifier"} if name in METRIC else {"embedding"}
    assert set(files) == {f"{kind}.{ending}" for kind in kinds for ending in ("pt2", "onnx")}
    assert all(0 <= one.difference < 1e-4 for one in written)
    by_support = files["embedding.onnx"].inputs == ("support_x", "x")
    assert by_support == (name in BY_SUPPORT)


def test_an_exported_run(trained: Path, drawings: Path, tmp_path: Path) -> None:
    """The folder predicts what the run does, and so does its ONNX file."""
    mr.export(trained, tmp_path / "model")
    learner = mr.load(tmp_path / "model")
    assert isinstance(learner, Learner)
    own, again = (one.adapt(drawings / "support") for one in (mr.Run(trained), learner))
    assert isinstance(own, AdaptedModel)
    queries = sorted((drawings / "query").glob("*/*.png"))
    expected = own.predict_proba(queries)
    np.testing.assert_array_equal(again.predict_proba(queries), expected)
    session = onnxruntime.InferenceSession(tmp_path / "model" / "classifier.onnx")
    one_hot = np.eye(3, dtype=np.float32)[own.support_y.numpy()]
    inputs = own.support_x.numpy(), one_hot, own.reader.read(queries).numpy()
    names = [one.name for one in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, inputs, strict=True)))
    assert names == ["support_x", "support_labels", "query_x"]
    assert found == pytest.approx(expected, abs=1e-5)
    head, text = (tmp_path / "model" / "README.md").read_text().split("---\n")[1:3]
    card = yaml.safe_load(head)
    assert card["library_name"] == "metaray"
    assert card["datasets"] == ["glyphs"]
    accuracy = card["model-index"][0]["results"][0]["metrics"][0]["value"]
    assert accuracy == pytest.approx(mr.Run(trained).summary["accuracy"], abs=1e-4)
    for words in ("3-way 1-shot", "inverted", "on two episodes of its data", "temperature"):
        assert words in text, words
    with pytest.raises(InputError, match="already holds a saved model"):
        mr.export(trained, tmp_path / "model")


def test_the_card_names_what_the_pictures_were_made_of(trained: Path, tmp_path: Path) -> None:
    """Such as icons, whose licences ask for it; a saved model keeps it."""
    work = "openmoji 15.0.0, CC-BY-SA-4.0, by the designers of OpenMoji"
    copytree(trained, tmp_path / "run")
    record = tmp_path / "run" / "data.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"attribution": [work]}))
    load_learner(str(tmp_path / "run")).save(tmp_path / "model")
    again = mr.load(tmp_path / "model")
    assert isinstance(again, Learner)
    assert f"(glyphs) were made of these works:\n\n* {work}\n" in model_card(again, [], "nothing")
    assert "is up to its publisher" in model_card(load_learner(str(trained)), [], "nothing")


def test_a_file_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_run_onnx", lambda path, given: [np.zeros((1, 1))] * len(given))
    with pytest.raises(InputError, match=r"embedding.onnx does not compute .*--no-onnx"):
        export.export_networks(random_learner("protonet"), tmp_path, tasks())
