"""``metaray embed``: the features of a data set, in parts that can be taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from made_icons import body, write_icons
from typer.testing import CliRunner, Result

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source
from metaray.algorithms.tasks.embedding_record import EmbeddingRecord, features_file
from metaray.algorithms.tasks.emoji import DESIGNERS
from metaray.algorithms.tasks.image_episodes import unit_range
from metaray.algorithms.tasks.vector_episodes import VectorEpisodes
from metaray.platform.api.embedding import embed
from metaray.platform.cli.main import app
from metaray.platform.experiment.meta_data import attribution_of
from metaray.platform.inference import embedding, embedding_parts
from metaray.platform.inference.learner import Learner


@pytest.fixture(scope="module")
def images(cache: Path) -> dict[str, Any]:
    """1,500 images, which end within a part."""
    return {"cache": str(cache), "num_classes": 75}


@pytest.fixture(scope="module")
def embedded(trained: Path, images: dict[str, Any], tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("embedded") / "features"
    found = embed(trained, "glyphs", folder, workers=0, **images)
    assert (found.vectors, found.classes, found.computed) == (1500, 75, 1500)
    names = ["encoder.safetensors", "features.arrow", "features.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    return folder


def test_features_are_those_of_the_encoder_in_its_image_size(
    embedded: Path, learner: Learner, images: dict[str, Any]
) -> None:
    data = DataConfig(name="glyphs", image_size=16, **images)
    source = build_source(data)
    features = build_source(DataConfig(name="features", root=str(embedded), split="source"))
    assert isinstance(features, VectorEpisodes)
    assert features.splits == source.splits  # type: ignore[attr-defined]
    ours, theirs = features.store, source.store  # type: ignore[attr-defined]
    assert ours.header.class_names == theirs.header.class_names
    assert ours.header.class_groups == theirs.header.class_groups
    for class_id in (0, 12, 74):  # the second is in two parts
        x = unit_range(theirs.images(class_id))
        state = learner.state
        wanted, _ = learner.algorithm.backbone.apply(state.params, x, state.buffers)
        torch.testing.assert_close(torch.tensor(ours.images(class_id)), wanted)


def test_features_keep_the_works_that_their_images_were_made_of(
    trained: Path, tmp_path: Path
) -> None:
    for number, designer in enumerate(DESIGNERS):
        colour = f"#{30 * number + 20:02x}4080"
        icons = {f"thing-{n}": body(3 * n, colour) for n in range(6)}
        write_icons(tmp_path / "node_modules", designer, icons)
    settings = {"root": str(tmp_path / "node_modules"), "cache": str(tmp_path)}
    embed(trained, "emoji", tmp_path / "features", workers=0, **settings)
    source = build_source(DataConfig(name="features", root=str(tmp_path / "features")))
    works = attribution_of(source)
    assert len(works) == len(DESIGNERS)
    assert all("CC-BY-4.0" in work for work in works)


def test_the_record_says_what_was_computed_of_what(embedded: Path) -> None:
    record = EmbeddingRecord.read(embedded)
    assert record.encoder["trained_by"] == "protonet"
    assert record.encoder["device"] == "cpu"
    assert len(record.encoder["weights_sha256"]) == 64
    assert record.preprocessing["height"] == 16
    assert record.source["name"] == "glyphs"
    assert len(record.source["content_sha256"]) == 64
    assert record.versions["torch"]


def test_a_stopped_embedding_goes_on_and_ends_with_the_same_bits(
    embedded: Path, trained: Path, images: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    folder, done = tmp_path / "features", []

    def stops(part: Any) -> int:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(part)
        return embedding_parts.embed_part(part)

    monkeypatch.setattr(embedding, "embed_part", stops)
    with pytest.raises(KeyboardInterrupt):
        embed(trained, "glyphs", folder, workers=0, **images)
    monkeypatch.undo()
    done[1].path.write_bytes(b"\x93NUMPY spoilt")
    other = images | {"num_classes": 76}
    with pytest.raises(InputError, match="an embedding with another preprocessing and images"):
        embed(trained, "glyphs", folder, workers=0, **other)
    found = embed(trained, "glyphs", folder, workers=0, **images)
    assert found.computed == 1500 - done[0].num_images
    assert features_file(folder).read_bytes() == features_file(embedded).read_bytes()
    again = embed(trained, "glyphs", folder, workers=0, **images)
    assert again.computed == 0
    assert again.sha256 == found.sha256


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["embed", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)
    return path


def test_a_network_of_torchvision_with_weights_from_a_file(
    weights: Path, images: dict[str, Any], tmp_path: Path
) -> None:
    sets = [f"data.{key}={value}" for key, value in images.items()]
    sets += ["data.image_size=32", "data.num_classes=3", "data.split=random"]
    options = [part for item in sets for part in ("--set", item)]
    result = command(
        "torchvision:squeezenet1_1", "--weights", weights, "--data", "glyphs",
        "--out", tmp_path / "features", "--workers", "0", *options,
    )  # fmt: skip
    assert "60 vectors of 512 numbers in 3 classes, of which 60 were computed now" in result.output
    record = EmbeddingRecord.read(tmp_path / "features")
    assert record.encoder["name"] == "torchvision:squeezenet1_1"
    assert record.preprocessing["channels"] == 3
    features = build_source(DataConfig(name="features", root=str(tmp_path / "features")))
    assert np.isfinite(features.store.images(2)).all()  # type: ignore[attr-defined]


def test_what_cannot_be_embedded_is_said_in_a_sentence(
    trained: Path, embedded: Path, weights: Path, images: dict[str, Any], tmp_path: Path
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    for encoder, settings, sentence in (
        ("torchvision:resnet18", {}, "resnet18 has no weights: give a file with --weights"),
        ("nowhere", {}, "nowhere is not a run directory"),
        (str(trained), {"weights": str(weights)}, "--weights has no effect on the run"),
        (str(trained), {"out": full}, "is not empty and holds no embedding"),
        (str(trained), {"data": "sinusoid"}, "sinusoid has no images to embed|no effect on"),
        (str(trained), {"rotations": "all"}, "data.rotations has no effect on an embedding"),
    ):
        keywords = {"data": "glyphs", "out": tmp_path / "new", "workers": 0, **images} | settings
        if keywords["data"] == "sinusoid":
            del keywords["num_classes"]
        with pytest.raises(InputError, match=sentence):
            embed(encoder, keywords.pop("data"), keywords.pop("out"), **keywords)
    with pytest.raises(InputError, match="--set train.seed=1 is no setting of the data"):
        command(trained, "--out", tmp_path / "new", "--set", "train.seed=1")
