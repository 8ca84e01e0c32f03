"""Runs whose directory is in a bucket, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import arguments, summary_of  # type: ignore[attr-defined]

from metaray.platform.run.storage.remote_directory import RemoteDirectory

Command = Callable[..., Any]


def read(uri: str, name: str, folder: Path) -> Any:
    RemoteDirectory.open(uri).read_to(name, folder / "read")
    return json.loads((folder / "read").read_text())


def test_a_run_in_a_bucket_is_the_run_in_a_folder(
    here: Command, tiny: list[str], s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METARAY_CACHE", str(tmp_path / "cache"))
    uri, sets = f"{s3}/{tmp_path.name}", arguments(tiny)
    assert here("train", *sets, "--out", tmp_path / "run").returncode == 0
    done = here("train", *sets, "--out", uri)
    assert done.returncode == 0, done.stderr
    assert f"report: {uri}/report.html" in done.stdout
    bits = summary_of(tmp_path / "run")["params_sha256"]
    assert read(uri, "summary.json", tmp_path)["params_sha256"] == bits
    assert not any((tmp_path / "cache" / "runs").iterdir())

    place = RemoteDirectory.open(uri)  # as a machine left it that died after step 4
    place.delete("checkpoints/step-00000006.safetensors")
    place.delete("summary.json")
    again = here("train", "--resume", uri)
    assert again.returncode == 0, again.stderr
    assert read(uri, "summary.json", tmp_path)["params_sha256"] == bits

    tested = here("evaluate", uri, "--set", "evaluate.num_episodes=4")
    assert tested.returncode == 0, tested.stderr
    assert read(uri, "evaluations/003/summary.json", tmp_path)["num_episodes"] == 4
    place.read_to("report.html", tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text()
    assert f"metaray evaluate {uri}" in report
    assert str(tmp_path / "cache" / "runs") not in report


def test_what_cannot_be_there_is_refused(here: Command, tiny: list[str], s3: str) -> None:
    for words, said in (
        (("train", "--out", "s3://nobody-has-this/run"), "there is no bucket nobody-has-this"),
        (("train", "--resume", f"{s3}/never"), "is not a run directory (nothing is there)"),
        (("sweep", "--out", f"{s3}/sweep"), "give --out a folder"),
        (("compare", "--methods", "maml", "--steps", "1", "--out", f"{s3}/c"), "give --out a"),
    ):
        done = here(*words, *(arguments(tiny) if "--resume" not in words else ()))
        assert done.returncode == 2
        assert said in done.stderr
