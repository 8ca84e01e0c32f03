"""Runs of all methods learn classes from a few pictures, and what they learn can be kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures import SMALL, WAYS
from PIL import Image
from rich.console import Console

import metaray as mr
from metaray.algorithms.algorithm import State
from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.preprocessing import Appearance, Preprocessing
from metaray.platform.api.loading import load_learner
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.experiment import runner
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.inference.adapted_model import AdaptedModel
from metaray.platform.inference.learner import Learner, LearnerSpec
from metaray.platform.inference.saved import load_saved

SHAPE = (1, 16, 16)
GREY = Preprocessing(height=16, width=16, stored_channels=1, channels=1, inverted=True)
ALL = pytest.mark.parametrize("name", [*SMALL, None])


def random_learner(name: str | None) -> Learner:
    """Untrained, in float64."""
    spec = LearnerSpec(
        title="a test",
        model=ModelConfig(name="conv4_strided", width=4),
        method=None if name is None else SMALL[name],
        num_outputs=WAYS,
        preprocessing=GREY,
        calibration=None,
    )
    state = spec.build().init(0)
    return Learner(spec, State(*state), ComputeConfig(count=0, precision="float64"))


def noise(count: int, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, 20, 24, 3), dtype=np.uint8))


def uneven(name: str | None) -> AdaptedModel:
    return random_learner(name).adapt(noise(6), ["b", "a", "c", "c", "a", "c"])


@ALL
def test_predictions_are_those_of_the_method(name: str | None) -> None:
    """Uneven classes; the support set computed before gives what it gives beside queries."""
    model = uneven(name)
    learner = model.learner
    assert model.classes == ("a", "b", "c")
    adapted = learner.algorithm.adapt(
        learner.state, model.support_x.double(), model.support_y, WAYS, "inductive"
    )[-1]
    if name == "relation":
        counts = adapted.one_hot.sum(0)
        adapted = adapted._replace(one_hot=adapted.one_hot * counts.mean() / counts)
    queries = model.reader.read(noise(5, seed=1)).double()
    expected = learner.algorithm.predict(adapted, queries).softmax(-1).detach().numpy()
    found = model.predict_proba(noise(5, seed=1))
    assert found == pytest.approx(expected, abs=1e-9)
    assert found.sum(1) == pytest.approx(np.ones(5))
    labels = model.predict(noise(5, seed=1))
    assert labels.tolist() == [model.classes[k] for k in expected.argmax(1)]


@ALL
def test_a_prediction_does_not_depend_on_other_queries(name: str | None) -> None:
    model = uneven(name)
    queries = noise(4, seed=2)
    together = model.predict_proba(queries)
    alone = np.concatenate([model.predict_proba([one]) for one in queries])
    assert alone == pytest.approx(together, abs=1e-9)


@ALL
def test_a_saved_model_predicts_the_same(name: str | None, tmp_path: Path) -> None:
    model, queries = uneven(name), noise(3, seed=3)
    model.save(tmp_path / "model")
    again = mr.load(tmp_path / "model")
    assert isinstance(again, AdaptedModel)
    assert again.classes == model.classes
    np.testing.assert_array_equal(again.predict_proba(queries), model.predict_proba(queries))


def test_a_method_for_any_number_of_classes_takes_any() -> None:
    model = random_learner("protonet").adapt(noise(7), [3, 1, 4, 1, 5, 9, 2])
    assert model.classes == (1, 2, 3, 4, 5, 9)
    assert model.predict(noise(2)).dtype.kind == "i"


def test_a_fixed_head_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"head for 3 classes.* have 2: .*task.ways=2.*protonet"):
        random_learner("maml").adapt(noise(2), ["a", "b"])


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        ([], [], "no support pictures"),
        (noise(2), ["a", "a"], r"one class \(a\)"),
        (noise(2), ["a"], "2 pictures and 1 labels"),
        (noise(2), None, "2 pictures and none labels"),
        ([np.zeros((4, 4, 2), np.uint8)] * 2, ["a", "b"], r"shape \[4, 4, 2\]"),
        ([np.full((4, 4), 2.0)] * 2, ["a", "b"], "outside of 0 to 1"),
        ([np.zeros((4, 4), np.int64)] * 2, ["a", "b"], "is of int64"),
        ([torch.zeros(3, 4, 4)] * 2, ["a", "b"], "prepared inputs"),
        ([torch.full(SHAPE, 7.0)] * 2, ["a", "b"], "values outside"),
        ([3, 4], ["a", "b"], "of type int"),
        (["nowhere.png", "b.png"], ["a", "b"], r"cannot read nowhere.png"),
        ([b"no image", b""], ["a", "b"], "picture 1 is not an image"),
    ],
)
def test_wrong_support_sets(images: Any, labels: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        random_learner("protonet").adapt(images, labels)


def test_one_picture_is_no_list_of_pictures() -> None:
    with pytest.raises(InputError, match=r"\[picture\]"):
        uneven("protonet").predict("scan.png")  # type: ignore[arg-type]


def test_a_folder_says_its_labels() -> None:
    with pytest.raises(InputError, match="leave out labels"):
        random_learner("protonet").adapt("folder", ["a"])


def test_all_forms_of_a_picture_are_one(learner: Learner, drawings: Path, tmp_path: Path) -> None:
    path = drawings / "query" / "cross" / "0.png"
    image = Image.open(path)
    pixels = np.asarray(image)
    model = learner.adapt(drawings / "support")
    grey = np.asarray(image.convert("L"))
    forms = [path, str(path), path.read_bytes(), image, pixels, grey, grey / 255.0]
    forms.append(model.reader.read_one(path))
    found = model.predict_proba(forms)
    np.testing.assert_array_equal(found, np.repeat(found[:1], len(forms), axis=0))


def test_a_light_ground_and_colours_are_noticed(learner: Learner) -> None:
    """Glyphs are negatives, so drawings are inverted; a black ground is then the other one."""
    black, white = np.zeros((30, 30), np.uint8), np.full((30, 30), 255, np.uint8)
    assert learner.adapt([white, white], ["a", "b"]).warnings == []
    (sentence,) = learner.adapt([black, black], ["a", "b"]).warnings
    assert (
        "your pictures have a dark ground, but the training had pictures with a light" in sentence
    )
    assert "--no-invert" in sentence
    assert learner.adapt([black, black], ["a", "b"], invert=False).warnings == []
    (sentence,) = learner.adapt([white, white], ["a", "b"], invert=False).warnings
    assert "your pictures have a light ground" in sentence
    assert "--invert" in sentence


def test_colour_is_noticed_where_training_was_grey() -> None:
    grey, red = Appearance(ground=0.5, colour=0.0), Appearance(ground=0.5, colour=0.6)
    assert "in colour, but those of the training were grey" in red.differences(grey, False)[0]
    assert "grey, but those of the training were in colour" in grey.differences(red, False)[0]


def test_none_of_these(learner: Learner, drawings: Path) -> None:
    model = learner.adapt(drawings / "support")
    queries = sorted((drawings / "query" / "bar").glob("*.png"))
    sure = model.predict(queries, reject=True)
    rule = model.check_refusal()
    found = model.predict_pictures(queries)
    assert [label is None for label in sure] == found.refused.tolist()
    assert 0 <= rule.wrongly_refused <= 1
    with pytest.raises(InputError, match="metaray evaluate"):
        uneven("protonet").predict(noise(1), reject=True)


def test_an_encoder_of_a_transfer_job(tmp_path: Path) -> None:
    from image_files import write_images

    sets = write_images(tmp_path, colour=True)
    more = ["job.name=finetune", "model.name=conv4", "model.width=8", "train.steps=6"]
    config = TRANSFER.load(None, [*sets, *more, "workers.count=0", "evaluate.references=[]"])
    runner.new(config, tmp_path / "run", "local", [Terminal(Console(quiet=True))])
    learner = load_learner(tmp_path / "run")
    assert learner.spec.method is None
    assert learner.spec.preprocessing.input_shape == (3, 16, 16)
    rng = np.random.default_rng(5)
    pictures = [rng.integers(0, 60, (16, 16, 3), dtype=np.uint8) for _ in range(12)]
    for number, picture in enumerate(pictures):
        picture[:, :, number % 3] += 150
    model = learner.adapt(pictures[:6], [0, 1, 2] * 2)
    assert model.predict(pictures[6:]).tolist() == [0, 1, 2] * 2
    own = learner.classifier()
    assert own.classes == learner.spec.classes == ("0", "1", "2")
    expected = own.predict_proba(pictures)
    own.save(tmp_path / "model")
    np.testing.assert_array_equal(mr.load(tmp_path / "model").predict_proba(pictures), expected)
    session = runner.load(tmp_path / "run")
    test = session.blueprint.domains.source
    x = test.images("test", np.arange(30))
    accuracy = (own.predict_inputs(x).probabilities.argmax(1) == test.labels("test")).mean()
    summary = mr.Run(tmp_path / "run").summary
    assert accuracy == pytest.approx(summary["accuracy"])
    with pytest.raises(InputError, match="give support pictures"):
        uneven("protonet").learner.classifier()


def test_what_is_no_saved_model(tmp_path: Path, learner: Learner) -> None:
    with pytest.raises(InputError, match="not a saved model directory"):
        load_saved(tmp_path)
    learner.save(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    values = json.loads(config.read_text())
    with pytest.raises(InputError, match="choose another folder"):
        learner.save(tmp_path / "model")
    for change, sentence in (
        ({"version": 99}, "saved in format 99"),
        ({"format": "other"}, "not that of a saved model"),
        ({"preprocessing": None}, "is damaged"),
    ):
        config.write_text(json.dumps(values | change))
        with pytest.raises(InputError, match=sentence):
            load_saved(tmp_path / "model")
    config.write_text(json.dumps(values))
    (tmp_path / "model" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="cannot be read"):
        load_saved(tmp_path / "model")
