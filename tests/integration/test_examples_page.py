"""docs/examples.md: its pictures are drawn, its commands run with small budgets."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import create_autospec

import documented  # type: ignore[import-not-found]
import pytest
from conftest import Command  # type: ignore[attr-defined]
from desks import commands_run
from test_predicting import SMALL, photograph

import metaray as mr

pytestmark = pytest.mark.timeout(600)

PAGE = documented.REPOSITORY / "docs" / "examples.md"
NEEDS_TWO = "telling classes apart needs two or more"
FEWER_PICTURES = {"others, 30, CAST": "others, 6, CAST"}
RUNS = {
    "train": SMALL | {"data.num_classes": 60, "train.meta_batch_size": 2, "task.train_ways": 5},
    "fit": SMALL,
    "serve": None,  # test_serving.py starts servers
}


def program(first_word: str) -> str:
    """The Python of the page that has these words."""
    (found,) = (
        block.text
        for block in documented.blocks(PAGE)
        if block.language == "python" and first_word in block.text
    )
    return str(found)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``draw.py`` draws, and photographs of ten classes."""
    desk = tmp_path_factory.mktemp("desk")
    script = program("# draw.py")
    for many, few in FEWER_PICTURES.items():
        assert many in script
        script = script.replace(many, few)
    (desk / "draw.py").write_text(script)
    subprocess.run([sys.executable, "draw.py"], cwd=desk, check=True)
    for number in range(10):
        for image in range(6):
            photograph(desk / "photos.zip" / f"kind {number}" / f"{image}.jpg", number, image)
    return desk


@pytest.fixture(autouse=True)
def _small_cache(monkeypatch: pytest.MonkeyPatch, desk: Path) -> None:
    monkeypatch.setenv("METARAY_CACHE", str(desk / "cache"))


def test_the_commands_of_the_page(desk: Path, here: Command, tmp_path: Path) -> None:
    done = commands_run(PAGE, desk, here, tmp_path, lambda words: RUNS.get(words[0], {}))
    printed = "".join(one.stdout for _, one in done)
    assert "8 pictures lie in folders that are none of the classes" in printed
    assert "10 pictures lie in folders that are none of the classes" in printed
    assert "20 pictures lie in folders that are none of the classes" in printed
    assert printed.count("wrongly accepted") == 2
    assert "arrow" in (desk / "drawings.html").read_text()
    with (desk / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert all(row["p_crack"] for row in rows)
    assert all(row["label"] == "" for row in rows if row["rejected"] == "True")
    (desk / "one").mkdir()
    (desk / "one" / "cast").symlink_to(desk / "parts" / "good" / "cast")
    one_kind = ("--run", "runs/plates", "--support", "one", "--query", "parts/new", "--reject")
    refused = here("predict", *one_kind)
    assert refused.returncode == 2
    assert NEEDS_TWO in refused.stderr
    assert NEEDS_TWO in re.sub(r"\s+", " ", PAGE.read_text(encoding="utf-8"))


def test_the_client_of_the_page(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls are such as the client takes, and it reads answers of the server's form."""
    token = desk / "serving" / "characters" / "token"
    token.parent.mkdir(parents=True)
    token.write_text("secret\n")
    client = create_autospec(mr.Client, instance=True)
    client.predict.return_value = [{"prediction": {"label": None}}]
    opened = create_autospec(mr.Client, return_value=client)
    monkeypatch.setattr(mr, "Client", opened)
    monkeypatch.chdir(desk)
    exec(program("mr.Client("), {})
    opened.assert_called_once_with("http://127.0.0.1:8000", token="secret")
    name, pictures, labels = client.register.call_args.args
    assert (name, labels) == ("anna", ["house", "house", "star", "star"])
    assert all(Path(picture).is_file() for picture in pictures)
    assert client.add.call_args.args[2] == ["ladder", "ladder"]
    assert client.predict.call_count == 8
