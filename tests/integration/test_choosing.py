"""``mr.choose``: pictures, an encoder, and a table by method and number of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from shared_ray import RAY

import metaray as mr
from metaray.algorithms.errors import InputError
from metaray.platform.api import choice as story
from metaray.platform.api.choosing import MethodChoice
from metaray.platform.compare import compare as comparing

COLOURS = [(r, g, b) for r in (40, 200) for g in (40, 120, 200) for b in (40, 200)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve classes of six pictures, which their colour tells apart."""
    folder = tmp_path_factory.mktemp("choosing") / "photos"
    rng = np.random.default_rng(0)
    for number, colour in enumerate(COLOURS):
        for index in range(6):
            pixels = rng.integers(0, 40, (20, 20, 3)) + np.array(colour)
            path = folder / f"kind{number}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def encoder(photos: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Barely trained, on other pictures: those of one class more."""
    folder: Path = tmp_path_factory.mktemp("encoder") / "run"
    data = mr.datasets.Glyphs(cache=str(cache), num_classes=200, image_size=16, channels=3)
    mr.Trainer(
        mr.ProtoNet(mr.models.Conv4(width=8)), data, ways=3, progress=False,
        settings={"train.validate_every": 0, "evaluate.num_episodes": 2,
                  "train.validate_episodes": 2, "train.meta_batch_size": 2},
    ).fit(outer_steps=2, out=folder)  # fmt: skip
    return folder


SMALL = {
    "train.outer_steps": 2,
    "train.validate_every": 0,
    "train.validate_episodes": 2,
    "train.meta_batch_size": 2,
    "model.width": 8,
}


def choose(photos: Path, encoder: Path | mr.Run, out: Path, **more: Any) -> MethodChoice:
    keywords: dict[str, Any] = {
        "methods": ["ridge", "protonet"], "shots": (1, 3), "seconds": 60,
        "episodes": 6, "workers": 0, "settings": SMALL, "progress": False, "out": out,
    }  # fmt: skip
    return mr.choose(photos, encoder, **keywords | more)


def test_what_is_wrong_is_said_in_a_sentence_before_pictures_are_read(
    photos: Path, encoder: Path, tmp_path: Path
) -> None:
    for more, sentence in (
        ({"shots": (6, 9)}, "smallest class has 6 pictures, which is too few for 6 or 9 labels"),
        ({"methods": ["protonat"]}, "protonat.*did you mean protonet"),
        ({"shots": ()}, "name one number of labels per class or more"),
        ({"methods": []}, "name one method or more"),
        ({"seconds": 0.0}, "budget of seconds is 0"),
        ({"settings": {"task.wayz": 3}}, "wayz"),
    ):
        with pytest.raises(InputError, match=sentence):
            choose(photos, encoder, tmp_path / "choice", **more)
        assert not (tmp_path / "choice").exists()
    with pytest.raises(InputError, match="nowhere"):
        choose(photos, tmp_path / "nowhere", tmp_path / "choice")


def test_data_settings_are_those_of_the_pictures() -> None:
    own, others = story._of_images(["data.image_size=28", "data.centre=true", "train.seed=1"])
    assert own == {"image_size": 28}
    assert others == ["data.centre=true", "train.seed=1"]


@pytest.mark.ray
def test_from_pictures_to_a_table_and_to_predictions(
    photos: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RAY.begin()
    choice = choose(photos, encoder, tmp_path / "choice")
    assert set(choice.table.index) == {"ridge", "protonet"}
    assert list(choice.table.columns) == [1, 3]
    assert choice.table.notna().all(axis=None)
    for shots, name in choice.best.items():
        assert choice.table.loc[name, shots] == choice.table[shots].max()
    model = choice.run(3).adapt(photos)
    first = sorted(photos.glob("kind0/*.png"))
    assert model.predict_proba(first).shape == (6, 12)
    with pytest.raises(InputError, match="no test with 2 labels per class: it has 1, 3"):
        choice.run(2)

    def started(*_: Any) -> None:
        raise AssertionError("a run was started")

    monkeypatch.setattr(comparing, "_train", started)  # all is there
    assert choose(photos, encoder, tmp_path / "choice").table.equals(choice.table)
    assert mr.load(tmp_path / "choice" / "compare").best in choice.table.index
    with pytest.raises(InputError, match="holds a choice with other methods or settings"):
        choose(photos, encoder, tmp_path / "choice", shots=(1, 2))


@pytest.mark.ray
def test_an_encoder_of_a_transfer_job_is_calibrated_on_its_features(
    photos: Path, tmp_path: Path
) -> None:
    """It has no episodes; the advice that predictions give leads to a run that can refuse."""
    RAY.begin()
    data = mr.datasets.Folder(root=str(photos), image_size=16)
    encoder = mr.transfer(
        "simclr", data, model=mr.models.Conv4(width=8), steps=2, batch_size=8, progress=False,
        out=tmp_path / "simclr", settings={"evaluate.references": []},
    )  # fmt: skip
    with pytest.raises(InputError, match="metaray choose FOLDER --encoder RUN --methods nearest"):
        encoder.adapt(photos).predict(sorted(photos.glob("kind0/*.png")), reject=True)
    choice = choose(photos, encoder, tmp_path / "choice", methods=["nearest_mean"])
    model = choice.run(3).adapt(photos)
    assert model.learner.spec.calibration is not None
    assert 0 <= model.check_refusal().wrongly_accepted <= 1
    found = model.predict(sorted(photos.glob("kind0/*.png")), reject=True)
    assert len(found) == 6
