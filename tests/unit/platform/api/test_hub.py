"""Models on a hub: the package of Hugging Face against a hub of this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documented
import numpy as np
import pytest
from fixtures import SMALL
from PIL import Image
from small_hub import COMMIT, Hub, hub

import metaray as mr
from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.platform.inference.learner import Learner, LearnerSpec

pytest.importorskip("huggingface_hub")

LABELS = ["a", "b", "a", "b"]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with hub() as made:
        yield made


@pytest.fixture
def learner() -> Learner:
    spec = LearnerSpec(
        title="a test",
        model=ModelConfig(name="conv4_strided", width=4),
        method=SMALL["protonet"],
        num_outputs=2,
        preprocessing=Preprocessing(
            height=16, width=16, stored_channels=1, channels=1, inverted=False
        ),
        calibration=None,
        origin={},
    )
    return Learner(spec, spec.build().init(0))


def test_a_model_goes_to_a_hub_and_comes_back(there: Hub, learner: Learner, tmp_path: Path) -> None:
    pictures = list(np.random.default_rng(0).integers(0, 256, (6, 16, 16), dtype=np.uint8))
    model = learner.adapt(pictures[:4], LABELS)
    model.save(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("what it is")
    commit = mr.push_to_hub(tmp_path / "model", "me/letters", token="hf_x", endpoint=there.url)
    assert commit.endswith(COMMIT)
    assert there.private == {"me/letters": True}
    assert there.tokens == {"Bearer hf_x"}
    assert there.repos["me/letters"]["README.md"] == b"what it is"
    found = mr.from_pretrained("me/letters", endpoint=there.url)
    assert isinstance(found, mr.AdaptedModel)
    expected = model.predict_proba(pictures[4:])
    assert (found.predict_proba(pictures[4:]) == expected).all()


def test_the_example_of_the_page(
    there: Hub, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (page,) = [one for one in documented.PAGES if one.name == "predicting.md"]
    (code,) = [b.text for b in documented.blocks(page) if "push_to_hub" in b.text]
    learner.save(tmp_path / "models" / "photos")
    for number, name in enumerate(("a", "b")):
        (tmp_path / "few" / name).mkdir(parents=True)
        Image.new("L", (16, 16), 100 * number).save(tmp_path / "few" / name / "1.png")
    monkeypatch.chdir(tmp_path)
    address = there.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", there.url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address)
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["adapted"].classes == ("a", "b")


def test_what_a_hub_has_not(there: Hub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the hub does not give or take me/none"):
        mr.from_pretrained("me/none", endpoint=there.url)
    there.repos["me/other"] = {"config.json": b"{}"}
    with pytest.raises(InputError, match=r"me/other holds no model of metaray"):
        mr.from_pretrained("me/other", endpoint=there.url)
    with pytest.raises(InputError, match="is no name of a repository"):
        mr.from_pretrained("me/ letters", endpoint=there.url)
    with pytest.raises(InputError, match="is not a saved model"):
        mr.push_to_hub(tmp_path, "me/letters", endpoint=there.url)
    with pytest.raises(InputError, match=r"check the name, the token .* and the network"):
        mr.from_pretrained("me/letters", endpoint="http://127.0.0.1:9")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'metaray\[hub\]'"):
        mr.from_pretrained("me/letters")
