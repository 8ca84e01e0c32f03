"""A run is resumed on its own data only, and tested on another set when that is asked for."""

from __future__ import annotations

import io
import json
import re
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from metaray.algorithms.errors import DiskError, InputError
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.provenance import DataRecord, DomainRecord

QUIET = [Terminal(Console(quiet=True))]
QUICK = [
    "task.ways=2",
    "task.train_ways=2",
    "task.train_queries=2",
    "train.outer_steps=2",
    "evaluate.num_episodes=4",
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for c in range(8):
        (root / f"class{c}").mkdir()
        for i in range(4):
            pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(root / f"class{c}" / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def trained(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("trained") / "run"
    runner.new(META.load(None, [*tiny, *QUICK]), folder, "local", QUIET)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def evaluate_run(run: Path, *overrides: str) -> dict[str, Any]:
    return runner.evaluate(run, list(overrides), "local", QUIET)


def test_a_test_on_another_set_names_both(run: Path, photos: Path) -> None:
    own = json.loads((run / "summary.json").read_text())
    assert own["dataset"] == own["trained_on"] == "glyphs"
    summary = evaluate_run(run, "data.name=folder", f"data.root={photos}", "data.split_seed=3")
    assert (summary["dataset"], summary["trained_on"]) == ("folder", "glyphs")
    assert summary["split"] == "random"
    assert summary["params_sha256"] == own["params_sha256"]
    report = " ".join((run / "report.html").read_text().split())
    assert "MAML on own images" in report
    assert "trained on drawn glyphs and tested on own images" in report
    assert "--set data.name=folder" in report
    assert f"--set data.root={photos}" in report
    assert "--set data.split_seed=3" in report
    tested = json.loads((run / "evaluations/002/config.json").read_text())["data"]
    assert (tested["image_size"], tested["channels"]) == (16, 1)  # as the network was trained
    assert json.loads((run / "config.json").read_text())["data"]["name"] == "glyphs"
    assert evaluate_run(run)["accuracy"] == own["accuracy"]  # and back on its own
    assert "another data set" not in (run / "report.html").read_text()


def test_grey_images_for_a_colour_network(
    tiny: list[str], photos: Path, tmp_path: Path, cache: Path
) -> None:
    sets = [s for s in tiny if not s.startswith("data.num")] + QUICK
    colour = [*sets, "data.name=folder", f"data.root={photos}", "method.name=protonet"]
    run = tmp_path / "run"
    runner.new(
        META.load(None, [*colour, "data.split_ratio=[0.4,0.3,0.3]"]),
        run, "local", QUIET,
    )  # fmt: skip
    summary = evaluate_run(run, "data.name=glyphs", "data.num_classes=75")
    assert (summary["dataset"], summary["trained_on"]) == ("glyphs", "folder")
    other = tmp_path / "other"
    shutil.copytree(photos, other)
    (other / "class0").rename(other / "class9")
    assert evaluate_run(run, "data.name=folder", f"data.root={other}")["dataset"] == "folder"
    with pytest.raises(InputError, match="holds the very images of folder"):
        evaluate_run(run, "data.name=folder", f"data.root={photos}")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.num_classes=100"], "data.num_classes cannot be changed"),
        (["data.split=random"], "data.split cannot be changed"),
        (["data.name=glyphs", "data.split=random"], "data.split cannot be changed"),
        (['data.name = "glyphs"', "data.split=random"], "data.split cannot be changed"),
        (["data.name=sinusoid"], "trained on glyphs cannot be tested on sinusoid"),
        (["data.name=omniglott"], "did you mean omniglot"),
        (
            ["data.name=omniglot", "data.num_classes=9"],
            "data.num_classes has no effect on omniglot",
        ),
        (["data.name=folder", "train.meta_lr=1.0"], "train.meta_lr cannot be changed"),
    ],
)
def test_what_a_test_may_not_change(run: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        evaluate_run(run, *overrides)


@pytest.mark.parametrize("setting", ["data.image_size=20", "data.channels=3"])
def test_inputs_that_do_not_fit_the_network(run: Path, photos: Path, setting: str) -> None:
    with pytest.raises(InputError, match="takes inputs of 1 x 16 x 16, folder gives"):
        evaluate_run(run, "data.name=folder", f"data.root={photos}", setting)


def test_other_content_is_refused(
    tiny: list[str], photos: Path, tmp_path: Path, cache: Path
) -> None:
    sets = [s for s in tiny if not s.startswith("data.num")] + QUICK
    run, root = tmp_path / "run", tmp_path / "photos"
    shutil.copytree(photos, root)
    config = META.load(
        None, [*sets, "data.name=folder", f"data.root={root}", "data.split_ratio=[0.4,0.3,0.3]"]
    )
    runner.new(config, run, "local", QUIET)
    moved = root.rename(tmp_path / "moved")
    runner.evaluate(run, [f"data.root={moved}"], "local", QUIET)  # the same in another place
    shutil.copy(moved / "class1" / "0.png", moved / "class1" / "9.png")
    for again in (runner.resume, runner.evaluate):
        with pytest.raises(InputError, match=r"folder is not the one that .*content hash \w{12}"):
            again(run, [f"data.root={moved}"], "local", QUIET)
    (run / "data.json").unlink()
    with pytest.raises(InputError, match="does not say which data"):
        runner.resume(run, [f"data.root={moved}"], "local", QUIET)


def test_a_test_on_a_grown_folder_says_how_much_of_it_was_trained_on(
    tiny: list[str], photos: Path, tmp_path: Path
) -> None:
    """A class more, and the split is another one: training classes come into the test."""
    folder = Path(shutil.copytree(photos, tmp_path / "photos"))
    data = ["data.name=folder", f"data.root={folder}", f"data.cache={tmp_path / 'cache'}"]
    sets = [one for one in tiny if not one.startswith(("data.", "task."))]
    sets += [*QUICK, *data, "data.image_size=16", "data.split_ratio=[0.5,0.25,0.25]"]
    sets += ["task.queries=2", "task.shots=1"]
    runner.new(META.load(None, sets), tmp_path / "run", "local", QUIET)
    told = Console(record=True, width=300, file=io.StringIO())
    for name in "abc":
        shutil.copytree(photos / "class7", folder / f"a-new-{name}")
        for path in (folder / f"a-new-{name}").iterdir():
            pixels = np.random.default_rng((ord(name), int(path.stem))).integers(
                0, 256, (20, 20, 3)
            )
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    with pytest.raises(InputError, match="is not the one that .* was trained on"):
        runner.evaluate(tmp_path / "run", [], "local", QUIET)
    overrides = [*data, "data.split_ratio=[0.4,0.3,0.3]"]
    runner.evaluate(tmp_path / "run", overrides, "local", [Terminal(told)])
    found = re.search(
        r"(\d+) of (\d+) test images are images that .* was trained on", told.export_text()
    )
    assert found is not None
    assert 0 < int(found[1]) <= int(found[2])
    assert int(found[1]) % 4 == 0  # whole classes


def test_a_test_on_new_images_says_nothing_of_the_kind(run: Path, photos: Path) -> None:
    told = Console(record=True, width=300, file=io.StringIO())
    overrides = ["data.name=folder", f"data.root={photos}"]
    runner.evaluate(run, overrides, "local", [Terminal(told)])
    assert "was trained on" not in told.export_text()


def test_a_full_disk_says_so_where_the_digests_of_images_are_written(tmp_path: Path) -> None:
    """Numpy says how many items it could write, and not why it could not write more."""
    domain = DomainRecord(name="x", content_sha256=None, input_shape=(1,), train_classes=2)
    record = DataRecord(source=domain, trained_images=np.zeros(10_000, np.uint64))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"cannot write the digests.*File too large; make"):
            record.write(RunDirectory(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
