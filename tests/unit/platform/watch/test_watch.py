"""The view of a run: from its files alone, while it is written and after it ended."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from time import time
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.results import write_config
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.status import Event, Status, TrialState, WorkerState
from metaray.platform.sweep.plan import make_plan
from metaray.platform.watch.log_tail import LogTail
from metaray.platform.watch.reader import reader_of, state_of
from metaray.platform.watch.server import serving
from metaray.platform.watch.snapshot import points_of, seconds_left
from metaray.platform.watch.terminal import watch


def status_of(**changes: object) -> Status:
    now = time()
    base = Status(kind="train", run="night", state="training", began=now - 60, updated=now)
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture
def folder(tiny: list[str], tmp_path: Path) -> Path:
    """A run of 100 steps, 40 of them done, that has lost a worker."""
    run = RunDirectory.create(tmp_path / "night")
    write_config(run.config, META.load(None, [*tiny, "train.outer_steps=100"]))
    with run.metrics.open("w") as log:
        for step in range(1, 41):
            row = {
                "step": step, "loss": 2.0 - step / 40, "accuracy": 0.2 + step / 100,
                "tasks_per_s": 50.0, "step_s": 0.5, "wall_s": 0.5 * step, "workers_lost": 1,
            }  # fmt: skip
            if step % 20 == 0:
                row |= {"val_loss": 1.5, "val_accuracy": 0.5, "val_ci95": 0.02}
            log.write(json.dumps(row) + "\n")
    status_of(
        total_steps=100,
        workers=(
            WorkerState(number=0, state="lost", pid=11, node="10.0.0.1"),
            WorkerState(number=1, state="busy", pid=12, node="10.0.0.1"),
            WorkerState(number=2, state="starting"),
        ),
        events=(Event(at=time(), text="worker 0 was lost <b>(process 11)</b>"),),
    ).write(run.path)
    return run.path


def shown(folder: Path) -> str:
    output = io.StringIO()
    watch(reader_of(folder), Console(file=output, width=120), once=True)
    return output.getvalue()


def test_the_terminal_shows_progress_curves_workers_and_events(folder: Path) -> None:
    text = shown(folder)
    for part in (
        "MAML on glyphs, 5-way 1-shot", "training", "step 40/100", "0:00:20 elapsed",
        "0:00:30 left", "validation 50.0 %", "50 tasks/s", "1 lost", "starting", "10.0.0.1",
        "worker 0 was lost",
    ):  # fmt: skip
        assert part in text, part
    assert re.search(r"lost\s+11", text)
    assert any("⠀" < sign <= "⣿" for sign in text)


def test_a_reader_follows_the_log(folder: Path) -> None:
    reader = reader_of(folder)
    assert reader.read().done == 40
    with (folder / "metrics.jsonl").open("a") as log:
        log.write('{"step": 41, "loss": 1.0, "wall_s": 20.5}\n{"step": 42, "lo')
    assert reader.read().done == 41  # the last line is not whole yet
    (folder / "summary.json").write_text("{}")
    status_of(state="done").write(folder)
    last = reader.read()
    assert last.is_over
    assert last.left_s is None


def test_a_run_that_is_done_shows_its_result(folder: Path) -> None:
    status_of(state="done").write(folder)
    summary = {
        "method": "maml", "dataset": "glyphs", "trained_on": "glyphs", "ways": 5, "shots": 1,
        "num_episodes": 600, "accuracy": 0.875, "ci95": 0.01, "baseline_accuracy": 0.2,
        "batch_norm": "inductive", "tested_step": 40, "params_sha256": "ab", "wall_s": 1.0,
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    assert "accuracy 87.50 % ± 1.00 (untrained 20.00 %" in shown(folder)
    narrow = io.StringIO()
    console = Console(file=narrow, width=80, soft_wrap=True)  # as that of the command
    watch(reader_of(folder), console, once=True)
    assert "inductive batch norm)" in narrow.getvalue()
    (folder / "summary.json").write_text("{")
    assert "is not the result of a run" in re.sub(r"[\s│]+", " ", shown(folder))


def test_a_log_that_was_cut_back_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = LogTail(path)
    assert tail.read() == []
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n')
    assert [row["step"] for row in tail.read()] == [1, 2, 3]
    other = tmp_path / "other"  # as a resumed run does
    other.write_text('{"step": 1}\n')
    os.replace(other, path)
    assert [row["step"] for row in tail.read()] == [1]


def test_states_that_a_status_cannot_tell(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert state_of(status_of(), summary) == "training"
    assert state_of(status_of(pid=gone.pid), summary) == "killed"
    assert state_of(status_of(pid=gone.pid, host="elsewhere"), summary) == "training"
    assert state_of(status_of(updated=time() - 100), summary) == "silent"
    assert state_of(status_of(state="failed", pid=gone.pid), summary) == "failed"
    assert state_of(None, summary) == "unknown"
    summary.write_text("{}")
    assert state_of(None, summary) == "done"


def test_a_run_of_an_earlier_version_is_shown(folder: Path) -> None:
    (folder / "status.json").unlink()
    assert "step 40/100" in shown(folder)


def test_many_points_become_means() -> None:
    rows = [{"step": step, "loss": float(step % 2)} for step in range(1, 1001)]
    points = points_of(rows, "loss")
    assert len(points) <= 240
    assert points[0] == (3.0, pytest.approx(0.6))  # steps 1 to 5
    assert seconds_left([{"step": 1, "wall_s": 1.0}], 10) is None


def test_a_sweep_shows_its_trials(tiny: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    settings = dict(item.split("=") for item in tiny)
    tree: dict[str, dict[str, object]] = {}
    for key, value in settings.items():
        section, name = key.split(".")
        tree.setdefault(section, {})[name] = value if name == "cache" else int(value)
    plan = make_plan(
        tree, metrics=None, num_trials=4, sampler=None, scheduler=None, grace=None, seed=None,
        space_suffix=None, study_name="sweep", storage=None,
    )  # fmt: skip
    plan.write(folder / "sweep.json")
    trial = folder / "trials" / "0001"
    trial.mkdir(parents=True)
    (trial / "metrics.jsonl").write_text(
        '{"step": 3, "val_accuracy": 0.4}\n{"step": 6, "val_accuracy": 0.6}\n'
    )
    status_of(
        kind="sweep",
        planned_trials=4,
        trials=(
            TrialState(number=0, state="failed", values={"method.inner_lr": 9.0}),
            TrialState(
                number=1, state="running", values={"method.inner_lr": 0.1},
                metrics={"step": 6, "val_accuracy": 0.6},
            ),
        ),
    ).write(folder)  # fmt: skip
    text = shown(folder)
    for part in ("sweep: MAML", "trial 1/4", "1 failed", "1 running", "method.inner_lr", "0.6"):
        assert part in text, part


def test_what_is_no_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run directory"):
        reader_of(tmp_path)
    (tmp_path / "compare.json").write_text("{}")
    with pytest.raises(InputError, match="watch one of the runs in it"):
        reader_of(tmp_path)


@pytest.fixture
def page(folder: Path) -> Iterator[str]:
    with serving(reader_of(folder), 0) as address:
        yield address


Get = Callable[..., tuple[int, str, dict[str, str]]]


@pytest.fixture
def get(page: str) -> Get:
    def ask(path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        connection = HTTPConnection(urlsplit(page).netloc, timeout=120)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body, dict(answer.headers)

    return ask


def test_the_page_is_for_those_who_have_its_address(page: str, get: Get) -> None:
    root = urlsplit(page).path
    assert len(root) > 30
    assert json.loads(get(f"{root}data.json")[1])["done"] == 40
    longer, shorter = f"{root[:-1]}x/", f"{root[:-2]}/"
    for wrong in ("/", "/data.json", longer, shorter, f"{root}../data.json", f"{root}status.json"):
        assert get(wrong)[0] == 404, wrong
    assert get(root, Host="evil.example")[0] == 403
    assert urlsplit(page).hostname == "127.0.0.1"


def test_the_page_runs_nothing_but_its_own_script(page: str, get: Get) -> None:
    code, body, headers = get(urlsplit(page).path)
    assert code == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    nonces = set(re.findall(r'nonce="([^"]+)"', body))
    assert len(nonces) == 1
    assert f"'nonce-{nonces.pop()}'" in policy
    assert "innerHTML" not in body
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", body)
    assert headers["Cache-Control"] == "no-store"


def test_a_port_that_is_taken_is_one_sentence(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match="choose another"), serving(reader_of(folder), port):
            raise AssertionError("served")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
def test_a_browser_draws_curves_workers_and_events(page: str, tmp_path: Path) -> None:
    """What came from files stays text: an event with markup in it makes no element."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page,
        ],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    dom = done.stdout
    assert dom.count("<polyline") == 4
    assert "<title>40/100 MAML on glyphs, 5-way 1-shot</title>" in dom
    for state in ("lost", "busy", "starting"):
        assert f'<span class="state {state}">{state}</span>' in dom
    assert "worker 0 was lost &lt;b&gt;(process 11)&lt;/b&gt;" in dom
