"""``metaray label``: which pictures to label, as a list to fill in and a page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.picture_list import listed
from metaray.platform.cli.main import app
from metaray.platform.inference.labelling import choose_pictures


@pytest.fixture
def photos(drawings: Path, tmp_path: Path) -> Path:
    """Twelve drawings in three folders, a file that is torn, and one that is no picture."""
    folder = tmp_path / "photos"
    shutil.copytree(drawings / "query", folder)
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def shapes(names: list[str]) -> set[str]:
    return {Path(name).parent.name for name in names}


def test_typical_pictures_are_of_all_kinds_and_the_list_can_be_predicted_from(
    photos: Path, trained: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    done = run("label", photos, "--budget", 3, "--encoder", trained, "--html", page)
    assert done.exit_code == 0, done.output
    assert "3 pictures to label" in done.output
    assert "left out: circle/torn.jpg is not an image" in " ".join(done.output.split())
    rows = listed(photos / "labels.csv")
    assert shapes([name for name, _ in rows]) == {"bar", "circle", "cross"}
    assert {label for _, label in rows} == {""}
    assert page.read_text().count("data:image/png") == 3
    assert "The first pictures are the most useful ones" in page.read_text()
    lines = [f"{name},{Path(name).parent.name}\n" for name, _ in rows]
    (photos / "labels.csv").write_text("path,label\n" + "".join(lines))
    predicted = run(
        "predict", "--run", trained, "--support", photos / "labels.csv", "--query", photos
    )
    assert "accuracy" in predicted.output, predicted.output


def test_a_list_that_is_there_is_kept_and_what_it_has_is_not_chosen_again(
    photos: Path, trained: Path
) -> None:
    (photos / "labels.csv").write_text("path,label\nbar/0.png,a bar\n")
    found = choose_pictures(photos, 2, encoder=str(trained))
    rows = listed(found.file)
    assert rows[0] == ("bar/0.png", "a bar")
    assert found.kept == 1
    assert [name for name, _ in rows[1:]] == found.new
    assert shapes(found.new) == {"circle", "cross"}


def test_the_same_seed_chooses_the_same_pictures(photos: Path, trained: Path) -> None:
    lists = [photos.parent / f"{name}.csv" for name in "ab"]
    for out in lists:
        choose_pictures(photos, 4, encoder=str(trained), out=out)
    assert lists[0].read_text() == lists[1].read_text()
    names = [name for name, _ in listed(lists[0])]
    assert all((photos.parent / name).is_file() for name in names)


def test_a_random_choice_needs_no_encoder_and_takes_no_torn_picture(photos: Path) -> None:
    page = photos.parent / "page.html"
    found = choose_pictures(photos, 12, choice="random", html=page)
    assert "The pictures were chosen at random" in page.read_text()
    assert len(set(found.new)) == 12
    assert "circle/torn.jpg" not in found.new


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--budget", 13, "--choose", "random"], "has 12 pictures that can be read and are not in"),
        (["--budget", 2], "typical pictures are found by the features of an encoder"),
        (["--budget", 2, "--choose", "random", "--encoder", "x"], "--encoder has no effect"),
        (["--budget", 2, "--choose", "best"], "--choose is best, and is typical or random"),
        (["--budget", 2, "--choose", "random", "--out", "a.txt"], "does not end in .csv"),
    ],
)
def test_what_cannot_be_chosen_is_said(photos: Path, words: list[object], sentence: str) -> None:
    done = run("label", photos, *words)
    assert isinstance(done.exception, InputError)
    assert sentence in str(done.exception)
    assert not (photos / "labels.csv").exists()


def test_a_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"")
    with pytest.raises(InputError, match="is no folder: unpack a zip first"):
        choose_pictures(tmp_path / "photos.zip", 1, choice="random")
