"""``metaray data``: what it prints, writes and refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from made_icons import body, write_icons
from PIL import Image
from typer.testing import CliRunner, Result

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import DATASETS
from metaray.algorithms.tasks.emoji import DESIGNERS
from metaray.algorithms.tasks.splits import SPLIT_RULES
from metaray.platform.cli.data import app

SMALL = ["--set", "data.num_classes=75", "--image-size", "12"]


def data(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METARAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path / "cache"


def test_list_names_every_set_its_splits_and_needs() -> None:
    lines = data("list").output.splitlines()
    omniglot, _ = [line for line in lines if line.startswith("omniglot ")]
    assert "alphabet, vinyals" in omniglot
    assert "rotations" in omniglot
    names = [line.split()[0] for line in lines if line[:1].strip()]
    assert names == ["name", *DATASETS, "Splits,", *SPLIT_RULES, "What", *DATASETS]
    text = " ".join(" ".join(lines).split())
    assert "github.com/brendenlake/omniglot" in text
    assert "www.cs.toronto.edu/~kriz/cifar.html" in text
    assert "sinusoid nothing" in text


def test_prepare_tells_path_hash_and_sizes(cache: Path) -> None:
    result = data("prepare", "glyphs", *SMALL, "--set", "data.rotations=train")
    (path,) = cache.iterdir()
    assert str(path) in result.output
    rows = [line.split() for line in result.output.splitlines()]
    assert ["train", "100", "2000"] in rows
    assert ["test", "25", "500"] in rows
    assert "preparing glyphs: 75 of 75 classes" in result.stderr
    assert "\x1b" not in result.output  # plain lines when not in a terminal


def test_prepare_and_sources_show_attribution(tmp_path: Path) -> None:
    for number, name in enumerate(DESIGNERS[:4]):
        icons = {thing: body(4 * i, f"#{number}04050") for i, thing in enumerate("abcd")}
        write_icons(tmp_path, name, icons)
    result = data("prepare", "emoji", "--root", tmp_path)
    assert "left out: 0" not in result.output
    shown = data("sources", "emoji", "--root", tmp_path).output.splitlines()
    assert len(shown) == 4
    assert shown[0].startswith("Set noto, by An author, CC-BY-4.0, https://example.org/by")
    assert shown[0].endswith("pictures 4")
    assert "by An author, CC-BY-4.0" in result.output.partition("made of:")[2]


def test_sources_of_other_sets_are_their_publishers() -> None:
    with pytest.raises(InputError, match="glyphs is not made of installed packages"):
        data("sources", "glyphs", *SMALL)


def test_prepare_again_is_silent_and_the_same() -> None:
    first = data("prepare", "glyphs", *SMALL)
    again = data("prepare", "glyphs", *SMALL)
    assert again.stdout == first.stdout
    assert again.stderr == ""


@pytest.mark.drawn
def test_show_writes_a_image_of_the_episode_asked_for(tmp_path: Path) -> None:
    images: dict[str, bytes] = {}
    for index in ("0", "0", "1"):
        out = tmp_path / f"episode{index}.png"
        data("show", "glyphs", *SMALL, "--out", out, "--ways", "3", "--index", index)
        with Image.open(out) as image:
            assert images.setdefault(index, image.tobytes()) == image.tobytes()
    assert images["0"] != images["1"]


@pytest.mark.drawn
def test_show_sinusoid_has_one_way(tmp_path: Path) -> None:
    data("show", "sinusoid", "--shots", "10", "--out", tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as image:
        assert image.width > 300


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "glyphs", *SMALL, "--split-name", "dev"], "no split is called 'dev'"),
        (["show", "glyphs", *SMALL, "--ways", "26"], "25 classes, fewer than the 26 ways"),
        (["show", "glyphs", *SMALL, "--queries", "20"], "20 images, fewer than 1 shots"),
        (["prepare", "glyfs"], "did you mean glyphs"),
        (["prepare", "glyphs", "--split", "vinyls"], "did you mean vinyals"),
        (["prepare", "glyphs", "--split", "vinyals"], "has no vinyals split"),
        (["prepare", "glyphs", "--image-size", "3"], "greater than or equal to 8"),
        (["prepare", "omniglot"], r"data\.root is not set: put images_background\.zip"),
        (["prepare", "cub"], r"data\.root is not set: .*vision\.caltech\.edu"),
        (["prepare", "glyphs", "--set", "train.meta_lr=1"], "begins with data."),
    ],
)
def test_bad_input_is_an_input_error(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        data(*arguments)


def test_help_and_list_load_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner;"
        "from metaray.platform.cli.data import app;"
        "done = [CliRunner().invoke(app, [a]).exit_code for a in ('--help', 'list')];"
        "print(done, {'torch', 'torchvision', 'ray', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.stdout == "[0, 0] set()\n", done.stderr
