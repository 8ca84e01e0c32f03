"""metaray scale: only a run that can change its workers now is asked to."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.api.scaling import scale
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.results import write_config
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.status import Status
from metaray.platform.run.worker_requests import WorkerRequests

Given = Callable[..., RunDirectory]


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """A run directory with a config and, unless ``state`` is None, a status."""

    def make(*sets: str, job: bool = False, **status: Any) -> RunDirectory:
        run = RunDirectory(tmp_path / "run")
        run.path.mkdir()
        write_config(run.config, (TRANSFER if job else META).load(None, sets))
        if status:
            now = time.time()
            Status(kind="train", run="run", began=now, updated=now, **status).write(run.path)
        return run

    return make


def test_a_run_that_trains_is_asked(given: Given) -> None:
    run = given(state="training")
    requests = WorkerRequests(run)
    scale(run.path, 3)
    assert requests.poll() == 3


@pytest.mark.parametrize(
    ("sets", "status", "sentence"),
    [
        ([], {"state": "done"}, r"run is done, and only a run that trains can be scaled$"),
        (
            [],
            {"state": "stopped"},
            "is stopped, .*: continue with metaray train --resume .*=3",
        ),
        ([], {"state": "training", "pid": 2**22 + 1}, "is not running"),
        ([], {}, "is not running"),
        ([], {"state": "testing"}, "is being tested: its workers stay"),
        (["workers.count=0"], {"state": "training"}, "trains in its own process, without workers"),
    ],
)
def test_others_are_not(
    given: Given, sets: list[str], status: dict[str, Any], sentence: str
) -> None:
    run = given(*sets, **status)
    with pytest.raises(InputError, match=sentence):
        scale(run.path, 3)
    assert not (run.path / "workers.json").exists()


def test_a_transfer_job_keeps_its_workers(given: Given) -> None:
    run = given(job=True, state="training")
    with pytest.raises(InputError, match="transfer jobs keep their number of workers"):
        scale(run.path, 3)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"count": -5}', '{"count": "2"}', "3", "{"])
def test_a_file_that_is_no_request_is_ignored(given: Given, content: str) -> None:
    """A wrong file would otherwise end a training of days."""
    run, told = given(state="training"), list[str]()
    requests = WorkerRequests(run, told.append)
    (run.path / "workers.json").write_text(content)
    assert requests.poll() is None
    assert "is ignored, since it holds no number of workers" in told[0]
    assert requests.poll() is None
    assert len(told) == 1
    (run.path / "workers.json").write_text(json.dumps({"count": 2}))
    os.utime(run.path / "workers.json", ns=(1, 1))
    assert requests.poll() == 2
