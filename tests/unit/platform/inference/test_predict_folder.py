"""Predictions for a folder: files, scores and the page."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source
from metaray.algorithms.tasks.image_episodes import ImageEpisodes
from metaray.algorithms.tasks.omniglot import open_characters
from metaray.algorithms.tasks.preprocessing import Appearance, Preprocessing
from metaray.platform.inference.folders import labelled_pictures
from metaray.platform.inference.learner import Learner
from metaray.platform.inference.pictures import PictureReader
from metaray.platform.inference.predict import predict_folder


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pd.read_parquet(path).replace({np.nan: None}).to_dict("records")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_three_kinds_of_files_hold_the_same(
    learner: Learner, drawings: Path, tmp_path: Path
) -> None:
    model = learner.adapt(drawings / "support")
    files = [tmp_path / "new" / f"found{ending}" for ending in (".csv", ".jsonl", ".parquet")]
    for path in files:
        outcome = predict_folder(model, drawings / "query", out=path)
    as_csv, as_json, as_parquet = (rows(path) for path in files)
    assert len(as_json) == outcome.tally.count == 13
    assert as_json == as_parquet
    assert [{key: "" if value is None else str(value) for key, value in row.items()}
            for row in as_json] == as_csv  # fmt: skip
    pictures = [drawings / "query" / row["file"] for row in as_json if row["error"] is None]
    expected = model.predict_proba(pictures)
    found = [[row[f"p_{name}"] for name in model.classes] for row in as_json if not row["error"]]
    np.testing.assert_array_equal(np.array(found), expected)
    (torn,) = (row for row in as_json if row["error"])
    assert torn["file"] == "circle/torn.jpg"
    assert torn["label"] is None
    assert "not an image that can be decoded" in torn["error"]


def test_scores_are_those_of_scikit_learn(learner: Learner, drawings: Path) -> None:
    model = learner.adapt(drawings / "support")
    tally = predict_folder(model, drawings / "query").tally
    pictures = sorted((drawings / "query").glob("*/*.png"))
    truth, predicted = [path.parent.name for path in pictures], model.predict(pictures)
    scores = tally.scores()
    assert scores is not None
    assert scores["num_labelled"] == 12
    assert scores["accuracy"] == pytest.approx(np.mean(predicted == truth))
    assert scores["accuracy_low"] < scores["accuracy"] <= scores["accuracy_high"]
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert np.sum(scores["confusion"]) == 12
    assert scores["wrongly_accepted"] is None


def test_queries_of_none_of_the_classes_are_counted_apart(
    learner: Learner, drawings: Path, tmp_path: Path
) -> None:
    for shape in ("bar", "circle"):
        (tmp_path / "support" / shape).mkdir(parents=True)
        (tmp_path / "support" / shape / "a.png").write_bytes(
            (drawings / "support" / shape / "0.png").read_bytes()
        )
    outcome = predict_folder(learner.adapt(tmp_path / "support"), drawings / "query", reject=True)
    scores = outcome.tally.scores()
    assert scores is not None
    assert scores["num_labelled"] == 8
    assert outcome.tally.num_unknown == 4
    assert 0 <= scores["wrongly_accepted"] <= 1
    assert any("4 pictures lie in folders that are none of the classes" in text
               for text in outcome.sentences)  # fmt: skip


def test_a_zip_a_list_and_one_picture(learner: Learner, drawings: Path, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "support.zip", "w") as archive:
        for path in (drawings / "support").glob("*/*.png"):
            archive.write(path, path.relative_to(drawings).as_posix())
    files = sorted((drawings / "query").glob("*/*.png"))
    lines = [f"{path},{path.parent.name}" for path in files]
    (tmp_path / "list.csv").write_text("\ufeffpath,label\n" + "\n".join(lines) + "\n", "utf-8")
    support = [path.relative_to(drawings) for path in (drawings / "support").glob("*/*.png")]
    (drawings / "support.csv").write_text(
        "\n".join(f"{path.as_posix()},{path.parent.name}" for path in sorted(support))
    )
    folder = learner.adapt(drawings / "support")
    for place in (tmp_path / "support.zip", drawings / "support.csv"):
        model = learner.adapt(place)
        assert model.classes == folder.classes
        np.testing.assert_array_equal(model.predict_proba(files), folder.predict_proba(files))
    assert predict_folder(folder, tmp_path / "list.csv").tally.scores() is not None
    one = predict_folder(folder, files[0]).tally
    assert (one.count, one.scores()) == (1, None)


def test_pictures_are_prepared_as_the_training_did(tmp_path: Path, cache: Path) -> None:
    """Photographs of odd sizes and modes: the pixels that an episode would hold."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for index, mode in enumerate(("RGB", "L", "RGBA", "P")):
            pixels = rng.integers(0, 256, (31 + index, 47, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / f"{index}.png")
    for channels in (None, 1):
        data = DataConfig(
            name="folder", root=str(tmp_path / "photos"), cache=str(cache), image_size=20,
            split="random", channels=channels,
        )  # fmt: skip
        source = build_source(data)
        assert isinstance(source, ImageEpisodes)
        recorded = Preprocessing.of(source.store, "folder", channels, [0])
        assert recorded is not None
        assert not recorded.inverted
        with labelled_pictures(tmp_path / "photos") as found:
            inputs = PictureReader(recorded).read(found.pictures)
        stored = np.concatenate([source.store.images(k) for k in range(3)])
        assert inputs.shape == (12, channels or 3, 20, 20)
        assert np.array_equal(recorded.inputs(stored), inputs)


def test_omniglot_files_give_the_stored_drawings(real_omniglot: Path) -> None:
    """A run that did not record it has the preprocessing of its data set."""
    supposed = Preprocessing.supposed("omniglot", (1, 28, 28))
    with open_characters(real_omniglot) as characters:
        first = characters[0]
        stored = first.load(28).images
        files = [first.files.read(name) for name in first.drawings]
    inputs = PictureReader(supposed).read(files)
    assert np.array_equal(supposed.inputs(stored), inputs)
    assert Appearance.of(stored).ground < 0.1


def test_the_page_shows_queries_support_and_scores(
    learner: Learner, drawings: Path, tmp_path: Path
) -> None:
    model = learner.adapt(drawings / "support")
    predict_folder(model, drawings / "query", html=tmp_path / "page.html", reject=True)
    page = (tmp_path / "page.html").read_text()
    for text in (
        "13 pictures, 3 classes", "macro F1", "circle/torn.jpg", "The temperature is",
        "wrongly rejected", "2 support pictures", "support picture of cross", "notes.txt",
    ):  # fmt: skip
        assert text in page, text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("nowhere", "there is no"),
        ("empty", "has no pictures"),
        ("unread", "none of the 1 picture of .* can be read"),
        ("empty.csv", "lists no pictures"),
        ("noise.zip", "not a zip that can be read"),
    ],
)
def test_queries_that_are_none(
    learner: Learner, drawings: Path, tmp_path: Path, query: str, sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "unread").mkdir()
    (tmp_path / "unread" / "a.png").write_bytes(b"none")
    (tmp_path / "empty.csv").write_text("path,label\n")
    (tmp_path / "noise.zip").write_bytes(b"none")
    model = learner.adapt(drawings / "support")
    out = tmp_path / "found.csv"
    with pytest.raises(InputError, match=sentence):
        predict_folder(model, tmp_path / query, out=out)
    assert not out.exists()


def test_support_that_is_none(learner: Learner, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "flat" / "a.png")
    (tmp_path / "list.csv").write_text("flat/a.png\n")
    for place, sentence in (
        ("flat", "has no folders with pictures"),
        ("list.csv", "has no label for flat/a.png"),
        ("nowhere", "there is no"),
    ):
        with pytest.raises(InputError, match=sentence):
            learner.adapt(tmp_path / place)


def test_an_ending_that_says_no_format(learner: Learner, drawings: Path, tmp_path: Path) -> None:
    model = learner.adapt(drawings / "support")
    with pytest.raises(InputError, match=r"give one of .csv, .jsonl, .parquet"):
        predict_folder(model, drawings / "query", out=tmp_path / "found.xlsx")
