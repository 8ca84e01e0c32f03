"""Commands on their way to becoming jobs: understood, checked and put together again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import typer

from metaray.algorithms import plugins
from metaray.algorithms.errors import InputError
from metaray.cluster.errors import ClusterError
from metaray.cluster.jobs import JobClient
from metaray.cluster.versions import Versions
from metaray.platform.cli.main import app
from metaray.platform.config.request import Request
from metaray.platform.jobs.check import check_paths, check_settings
from metaray.platform.jobs.command import parse_command
from metaray.platform.jobs.job_spec import FOLDER, JobSpec
from metaray.platform.jobs.submission import _check_versions, _check_words, _placed

NODES = [{"CPU": 0.0}, {"CPU": 2.0, "memory": 1e9}]


def parsed(*words: object) -> Request:
    return parse_command([str(word) for word in words], typer.main.get_command(app))


def checked(*words: object, is_here: bool = True, grows: bool = False) -> list[str]:
    return check_settings(parsed(*words), is_here, NODES, grows)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--set", "seed=1", "--set", "task.shots=5", "--", "a.toml"],
        ["transfer", "finetune", "--set", "data.name=folder"],
        ["sweep", "--num-trials", "3", "--space", "s.toml", "--", "a.toml"],
        ["compare", "--steps", "10", "--", "a.toml", "b.toml"],
        ["evaluate", "--set", "evaluate.num_episodes=20", "--", "runs/a"],
        ["serve", "--replicas", "2", "--no-token", "--", "runs/a"],
    ],
)
def test_a_command_is_the_same_when_put_together_again(words: list[str]) -> None:
    command = parsed(*words)
    assert parsed(*command.words()) == command


def test_values_are_exchanged_and_defaults_left_out() -> None:
    command = parsed("train", "a.toml", "--out", "x")
    assert replace(command, out=FOLDER, address="current").words() == [  # type: ignore[call-arg]
        "train", "--out", FOLDER, "--address", "current", "--", "a.toml",
    ]  # fmt: skip
    assert parsed("train").words() == ["train"]
    zero = ["serve", "--port", "0", "--", "runs/a"]  # which is given, and no value is not
    assert parsed(*zero).words() == zero


def test_what_is_no_job_is_refused() -> None:
    for words in (["scale", "runs/a", "3"], ["submit"], []):
        with pytest.raises(InputError, match="what can be submitted is train, transfer"):
            parsed(*words)


def test_files_of_settings_go_along() -> None:
    assert parsed("compare", "--steps", 3, "a.toml", "b.toml").files("config", "file") == [
        Path("a.toml"), Path("b.toml"),
    ]  # fmt: skip
    assert parsed("sweep", "c.toml", "--space", "s.py").files("config", "file") == [
        Path("c.toml"),
        Path("s.py"),
    ]
    assert parsed("train").files("config", "file") == []


def test_an_order_becomes_words_of_the_cluster(tmp_path: Path) -> None:
    words = ("train", "--out", FOLDER, "--set", "data.root=~/x", "--", "job:files/files/0/a.toml")
    JobSpec(words, "~/runs/a", None).write(tmp_path)
    arguments = JobSpec.read(tmp_path).arguments(tmp_path)
    assert arguments[2] == str(Path.home() / "runs" / "a")
    assert arguments[4] == "data.root=~/x"
    assert arguments[-1] == str(tmp_path / "files/0/a.toml")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "--set", "metod.name=maml"], "did you mean method.name"),
        (["train", "--set", "task.ways=0"], "task.ways"),
        (["transfer", "finetune", "--set", "job.strategy=all"], "job.strategy"),
        (["sweep", "--set", "method.name=mml"], "method.name"),
        (["compare", "--methods", "maml,nothing", "--steps", "3"], "nothing"),
        (["evaluate", "x", "--set", "seed"], "takes key=value"),
    ],
)
def test_a_bad_config_never_leaves(words: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        checked(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--set", "workers.cpus=3"],
        ["train", "--set", "workers.gpus=1"],
        ["transfer", "finetune", "--set", "workers.count=3", "--set", "data.name=glyphs"],
        ["sweep", "--set", "workers.count=3"],
        ["compare", "--methods", "maml", "--steps", "3", "--set", "workers.count=3"],
    ],
)
def test_what_never_fits_is_refused_unless_the_cluster_grows(words: list[str]) -> None:
    with pytest.raises(InputError, match=r"room for \d of|never fits"):
        checked(*words)
    (note,) = checked(*words, grows=True)
    assert "unless nodes are added" in note


def test_what_fits_in_part_is_said() -> None:
    assert checked("train", "--set", "workers.count=2") == []
    (note,) = checked("train", "--set", "workers.count=5")
    assert "room for 2 of 5 workers" in note
    (note,) = checked("train", "--set", "workers.count=0")
    assert "in its own process on the head node" in note


def test_data_must_be_on_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "a.toml").write_text('[data]\nname = "folder"\nroot = "photos"\n')
    from_file, missing = parsed("train", "a.toml"), parsed("train", "--set", "data.root=none")
    assert check_paths(from_file, is_here=True) == []
    assert check_paths(parsed("train", "--set", "data.root=pho*"), is_here=True) == []
    with pytest.raises(InputError, match=r"data.root = 'none' is not there"):
        check_paths(missing, is_here=True)
    with pytest.raises(InputError, match=r"data.root = 'photos' is a relative path"):
        check_paths(from_file, is_here=False)
    (note,) = check_paths(parsed("train", "--set", "data.root=/data/x"), is_here=False)
    assert note.startswith("data.root = /data/x must be on the cluster")


def test_a_start_that_only_the_cluster_can_read_is_left_to_it() -> None:
    words = ["train", "--set", "init.checkpoint=/nowhere/run"]
    with pytest.raises(InputError, match="nowhere"):
        checked(*words)
    assert checked(*words, is_here=False) == [
        "settings are checked on the cluster, where the run of init.checkpoint is"
    ]


def test_words_that_cannot_be_sent() -> None:
    with pytest.raises(InputError, match="give --address before the --"):
        _check_words(parsed("train", "--address", "auto"), None)
    with pytest.raises(InputError, match="is no name of a job"):
        _check_words(parsed("train"), "../x")
    with pytest.raises(InputError, match="holds a password") as caught:
        _check_words(parsed("sweep", "--storage", "postgresql://me:s3cr3t@host/db"), None)
    assert "s3cr3t" not in str(caught.value)


def test_a_password_of_the_environment_is_no_part_of_a_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("METARAY_STORAGE", "postgresql://me:s3cr3t@host/db")
    assert not any("s3cr3t" in word for word in parsed("sweep").words())


def test_other_versions_are_said_or_refused() -> None:
    mine = Versions.here()
    assert _check_versions(mine) == []
    (note,) = _check_versions(Versions("2.99.1", "3.10.2"))
    assert "Ray 2.99.1 (here:" in note
    with pytest.raises(ClusterError, match=r"runs Ray 2.40.0 and metaray needs 2.52"):
        _check_versions(Versions("2.40.0", mine.python))
    for python in ("3.9.1", "3.13.0"):
        with pytest.raises(ClusterError, match=f"runs Python {python}"):
            _check_versions(Versions(mine.ray, python))


def test_a_run_in_a_bucket_stays_where_it_is_said_to_be() -> None:
    client = cast(JobClient, object())  # nothing is asked of the cluster
    folder, words = _placed(parsed("train", "--out", "s3://lab/run"), "job", True, client)
    assert folder == "s3://lab/run"
    assert words == ["train", "--out", "s3://lab/run", "--address", "current"]


def test_a_server_keeps_its_state_by_the_name_of_its_run() -> None:
    client = cast(JobClient, SimpleNamespace(jobs=list))
    command = parsed("serve", "s3://lab/omniglot", "--replicas", "2")
    folder, words = _placed(command, "job", False, client)
    assert folder == "s3://lab/omniglot"
    assert words == [
        "serve", "--replicas", "2", "--state", "~/.metaray/serving/omniglot",
        "--address", "current", "--", "s3://lab/omniglot",
    ]  # fmt: skip
    with pytest.raises(InputError, match="--state here is a relative path"):
        _placed(parsed("serve", "s3://lab/omniglot", "--state", "here"), "job", False, client)


def test_files_of_callbacks_go_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = "import metaray as mr\n\n\nclass Mine(mr.Callback):\n    pass\n"
    (tmp_path / "callbacks_of_a_job.py").write_text(source)
    checked("train", "--set", 'monitoring.callbacks=["callbacks_of_a_job:Mine"]')
    assert tmp_path / "callbacks_of_a_job.py" in plugins.files()
    with pytest.raises(InputError, match="has no Mime, did you mean Mine"):
        checked("sweep", "--set", 'monitoring.callbacks=["callbacks_of_a_job:Mime"]')
