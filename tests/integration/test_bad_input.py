"""Bad input on the command line: one sentence, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import resource
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import COMMAND, Command, arguments, summary_of  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def finished(metaray: Command, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder: Path = tmp_path_factory.mktemp("finished") / "run"
    result = metaray("train", "--out", folder, *arguments(tiny))
    assert result.returncode == 0, result.stderr
    return folder


def refuses(metaray: Command, sentence: str, *args: object) -> None:
    result = metaray(*args)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    last = result.stderr.strip().splitlines()[-1]
    assert sentence in last, last


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (["task.shotz=1"], "did you mean task.shots?"),
        (["train.meta_lr=0"], "train.meta_lr = 0 is not valid: input should be greater than 0"),
        (["task.ways=100"], "fewer than the 100 ways"),
        (["task.queries=20"], "20"),
        (["data.name=omniglot", "data.root=/nowhere/at/all"], "/nowhere/at/all"),
        (["data.split=vinyals"], "glyphs has no vinyals split"),
        (["data.name=sinusoid", "method.name=protonet"], "protonet"),
        (["workers.device=cuda"], "finds no CUDA device"),
    ],
)
def test_settings(
    here: Command, tiny: list[str], tmp_path: Path, sets: list[str], sentence: str
) -> None:
    if "data.name=omniglot" in sets or "data.name=sinusoid" in sets:
        tiny = [item for item in tiny if "num_classes" not in item and "image_size" not in item]
        tiny = [item for item in tiny if "queries" not in item]
    out = tmp_path / "run"
    refuses(here, sentence, "train", "--out", out, *arguments([*tiny, *sets]))
    assert not (out / "config.json").exists()


def test_truncated_zip(here: Command, cache: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images_background.zip", "w") as archive:
        archive.writestr("images_background/A/character01/0001_01.png", b"x" * 5000)
    whole = (tmp_path / "images_background.zip").read_bytes()
    (tmp_path / "images_background.zip").write_bytes(whole[: len(whole) // 2])
    shutil.copy(tmp_path / "images_background.zip", tmp_path / "images_evaluation.zip")
    sets = ["data.name=omniglot", f"data.root={tmp_path}", f"data.cache={tmp_path / 'cache'}"]
    refuses(here, "images_background.zip", "train", "--out", tmp_path / "r", *arguments(sets))


def test_out_directory_that_holds_another_run(
    here: Command, tiny: list[str], finished: Path
) -> None:
    before = summary_of(finished)
    refuses(here, "already holds a run", "train", "--out", finished, *arguments(tiny))
    assert summary_of(finished) == before


def test_folders_that_are_no_runs(here: Command, tmp_path: Path) -> None:
    refuses(here, "there is no such folder", "evaluate", tmp_path / "nothing")
    refuses(here, "it has no config.json", "train", "--resume", tmp_path)
    (tmp_path / "note.txt").write_text("mine")
    refuses(here, "is not empty and holds no run", "train", "--out", tmp_path)


def test_checkpoints_that_do_not_fit(here: Command, finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    config = other / "config.json"
    config.write_text(config.read_text().replace('"width": 8', '"width": 9'))
    refuses(here, "is of another method or network", "evaluate", other)
    shutil.copy(finished / "config.json", config)
    for path in (other / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    for command in (("train", "--resume", other), ("evaluate", other)):
        refuses(here, "is not a readable checkpoint", *command)
        refuses(here, "has no other that is whole: restore it from a copy", *command)


def test_what_cannot_change_in_a_run(here: Command, finished: Path) -> None:
    refuses(here, "model.width cannot be changed", "evaluate", finished, "--set", "model.width=9")
    refuses(here, "seed cannot be changed", "train", "--resume", finished, "--set", "seed=4")
    refuses(here, "--resume continues", "train", "--resume", finished, "--out", "elsewhere")


def test_unreachable_cluster(metaray: Command, tiny: list[str], tmp_path: Path) -> None:
    ray = [*tiny, "workers.count=1"]
    for address, sentence in (
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("somewhere", "is not a cluster address"),
        ("auto", "no Ray cluster was started on this machine"),
    ):
        out = tmp_path / address.replace(":", "-")
        refuses(metaray, sentence, "train", "--address", address, "--out", out, *arguments(ray))
    refuses(
        metaray, "has no effect", "train", "--address", "auto", "--out", tmp_path / "x",
        *arguments(tiny),
    )  # fmt: skip


def test_read_only_place(here: Command, tiny: list[str]) -> None:
    refuses(
        here, "cannot create a run in /proc/run", "train", "--out", "/proc/run", *arguments(tiny)
    )


@pytest.mark.usefixtures("finished")  # it has prepared the data
def test_a_disk_that_takes_no_more(
    tiny: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    """A limit on the size of files stands for a full disk: the write fails in the middle."""
    out = tmp_path / "run"
    result = subprocess.run(
        [*COMMAND, "train", "--out", str(out), *arguments([*tiny, "model.width=16"])],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (24_000, 24_000)),
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "cannot write checkpoint" in result.stderr
    assert "then continue with --resume" in result.stderr
    assert list((out / "checkpoints").iterdir()) == []


def test_an_evaluation_keeps_the_ones_before(metaray: Command, finished: Path) -> None:
    before = summary_of(finished)
    result = metaray(
        "evaluate", finished, "--set", "evaluate.num_episodes=6",
        "--set", "evaluate.batch_norm=inductive", "--set", "task.shots=2",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    after = summary_of(finished)
    assert (after["num_episodes"], after["batch_norm"], after["shots"]) == (6, "inductive", 2)
    assert after["params_sha256"] == before["params_sha256"]
    folders = sorted((finished / "evaluations").iterdir())
    assert [summary_of(folder)["num_episodes"] for folder in folders[-2:]] == [10, 6]
