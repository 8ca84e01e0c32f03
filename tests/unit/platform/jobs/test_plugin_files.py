"""Which plug-in files travel with a job."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer

from metaray.algorithms import plugins
from metaray.algorithms.errors import InputError
from metaray.platform.cli.main import app
from metaray.platform.config.request import Request
from metaray.platform.jobs.command import parse_command
from metaray.platform.jobs.plugin_files import plugin_files


def parsed(*words: object) -> Request:
    return parse_command([str(word) for word in words], typer.main.get_command(app))


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plug-ins of one test are none of the next, and the working directory is empty."""
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)


def test_of_settings_that_only_the_cluster_can_check(tmp_path: Path) -> None:
    """The run of init.checkpoint is there, so nothing of the settings is validated here."""
    (tmp_path / "half_bend.py").write_text("def bend(progress):\n    return 1 - progress / 2\n")
    settings = tmp_path / "own.toml"
    settings.write_text('[train]\nschedule = "half_bend:bend"\n[init]\ncheckpoint = "/there/run"\n')
    files = plugin_files(parsed("train", settings), is_here=False)
    assert files == [tmp_path / "half_bend.py"]
    request = parsed("transfer", "finetune", "--set", "monitoring.callbacks=['half_bend.py:bend']")
    assert plugin_files(request, is_here=False) == [tmp_path / "half_bend.py"]


def test_of_a_run_that_goes_on_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = parsed("train", "--resume", "/there/run")
    assert plugin_files(request, is_here=False) == []
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "mine_one.py").touch()
    monkeypatch.setenv(plugins.PLUGIN_PATH, str(folder))
    assert plugin_files(request, is_here=False) == [folder / "mine_one.py"]
    assert plugin_files(parsed("train"), is_here=False) == []


def test_of_a_run_that_goes_on_here(tmp_path: Path) -> None:
    (tmp_path / "late_bend.py").write_text("def bend(progress):\n    return 1.0\n")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(
        f'{{"train": {{"schedule": "{tmp_path}/late_bend.py:bend"}}}}', encoding="utf-8"
    )
    request = parsed("train", "--resume", run)
    assert plugin_files(request, is_here=True) == [tmp_path / "late_bend.py"]


def test_two_files_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "same.py").touch()
    monkeypatch.setenv(plugins.PLUGIN_PATH, ":".join(map(str, folders)))
    with pytest.raises(InputError, match=r"one/same.py and .*two/same.py have the same name"):
        plugin_files(parsed("train", "--resume", "/there/run"), is_here=False)


def test_a_file_that_is_missing_is_said_before_the_job_is_sent() -> None:
    with pytest.raises(InputError, match="there is no module gone, and no file gone.py"):
        plugin_files(parsed("train", "--set", "train.schedule=gone:bend"), is_here=False)
