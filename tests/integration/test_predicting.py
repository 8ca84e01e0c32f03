"""docs/predicting.md, command by command and as one program, on photographs as people have them."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import documented  # type: ignore[import-not-found]
import numpy as np
import pytest
from conftest import Command  # type: ignore[attr-defined]
from desks import commands_run
from forks import run_program
from PIL import Image

pytestmark = pytest.mark.timeout(600)

PAGE = documented.REPOSITORY / "docs" / "predicting.md"
SMALL = {
    "train.outer_steps": 4, "train.validate_every": 4, "train.validate_episodes": 4,
    "evaluate.num_episodes": 4, "model.width": 8, "data.image_size": 28,
}  # fmt: skip
CHOOSING = {
    "--time": 1, "--episodes": 4, "--methods": "nearest_mean,protonet",
    "train.outer_steps": 2, "train.validate_every": 0, "train.validate_episodes": 4,
}  # fmt: skip
PRETRAINING = {
    "train.steps": 2, "train.batch_size": 8, "model.name": "conv4", "model.width": 8,
    "workers.count": 0, "evaluate.references": "[]",
}  # fmt: skip
PROGRAM = {"time=300": f"time=300, settings={SMALL}"}


def photograph(path: Path, hue: int, seed: int) -> None:
    """Of a class that one knows by its colour."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 90, (40, 52, 3), dtype=np.uint8)
    pixels[..., hue % 3] += np.uint8(40 + 30 * (hue // 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 classes to train on, and three others in ``few`` and ``new``."""
    desk = tmp_path_factory.mktemp("desk")
    for number in range(13):
        for image in range(8):
            photograph(desk / "photos" / f"kind {number}" / f"{image}.jpg", number, image)
    for number, name in enumerate(("red", "green", "blue")):
        for image in range(1 + number):
            photograph(desk / "few" / name / f"{image}.jpg", number, 50 + image)
        for image in range(3):
            photograph(desk / "new" / name / f"{image}.png", number, 80 + image)
    photograph(desk / "new" / "first.jpg", 1, 99)
    (desk / "new" / "torn.jpg").write_bytes(b"torn")
    return desk


@pytest.fixture(autouse=True)
def _small_cache(monkeypatch: pytest.MonkeyPatch, desk: Path) -> None:
    monkeypatch.setenv("METARAY_CACHE", str(desk / "cache"))


@pytest.mark.ray
def test_the_commands_of_the_page(desk: Path, here: Command, tmp_path: Path) -> None:
    small = {"fit": SMALL, "choose": CHOOSING, "transfer": PRETRAINING}
    for words, done in commands_run(PAGE, desk, here, tmp_path, lambda w: small.get(w[0], {})):
        if words[0] == "fit":
            assert "found 104 pictures of 13 classes" in done.stdout
            assert "7 classes to train on, 3 for validation, 3 for the test" in done.stdout
            assert "next: metaray predict --run runs/photos" in done.stdout
        if words[0] == "choose":
            assert "the encoder was trained on these pictures" in done.stdout
            assert "with 3 labels per class: " in done.stdout
            assert f"next: metaray predict --run {words[-1]}/compare/runs/" in done.stdout
        if words[0] == "predict":
            assert "torn.jpg is not an image" in done.stdout
            assert "accuracy" in done.stdout
            assert "not calibrated" not in done.stdout
    with (desk / "found.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert len(rows) == 11
    assert rows["torn.jpg"]["label"] == ""
    assert "green" in (desk / "found.html").read_text()
    assert (desk / "runs" / "photos" / "fit.toml").is_file()
    again = here("train", "runs/photos/fit.toml", "--out", "runs/again")
    assert again.returncode == 0, again.stderr
    assert (desk / "models" / "photos" / "classifier.onnx").is_file()


def test_the_python_of_the_page(desk: Path, environment: dict[str, str], tmp_path: Path) -> None:
    blocks = [b.text for b in documented.blocks(PAGE) if b.language == "python"]
    code = "\n".join(text for text in blocks if "push_to_hub" not in text)  # see test_hub.py
    for large, small in PROGRAM.items():
        assert large in code
        code = code.replace(large, small)
    (tmp_path / "page.py").write_text(code)
    done = run_program([sys.executable, tmp_path / "page.py"], environment, cwd=desk)
    assert done.returncode == 0, done.stderr
    assert "('blue', 'green', 'red')" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("predict --run nowhere --support few --query new", "not a run directory"),
        ("predict --run nowhere --support few --query new --out a.xlsx", "says no format"),
        ("fit nowhere", "does not hold pictures"),
        ("fit few", "3 classes are too few to hold some out"),
        ("fit photos --time 1", "learns nothing"),
        ("export nowhere --out models/new", "not a run directory"),
    ],
)
def test_wrong_commands(
    desk: Path, here: Command, tmp_path: Path, words: str, sentence: str
) -> None:
    tmp_path.rmdir()
    tmp_path.symlink_to(desk)
    done = here(*words.split())
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (desk / "models" / "new").exists()
