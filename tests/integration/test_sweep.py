"""Whole sweeps of the command: to the page, killed and resumed, diverging, too large."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]
from forks import kill, titled
from runs import steps_of
from sweeps import essence, said, sweeping, trials_of

pytestmark = pytest.mark.ray

CALLBACK = """
from metaray.platform.callbacks.base import Callback


class Noting(Callback):
    def on_start(self, info):
        self.file = info.folder / "noted.txt"

    def note(self, text):
        with self.file.open("a") as file:
            file.write(text + "\\n")

    def on_step(self, row):
        self.note("step")

    def on_event(self, event):
        self.note(type(event).__name__)

    def on_end(self, state, error):
        self.note(state)
"""
SPACE = """
[train.meta_lr]
type = "float"
low = 0.001
high = 0.01
log = true

[task.train_shots]
type = "int"
low = 1
high = 3

[train.clip_norm]
type = "float"
low = 0.1
high = 1.0
"""
ONE_BY_ONE = ["--num-trials", "4", "--parallel", "1"]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def sets(tiny: list[str]) -> list[str]:
    """Options."""
    return arguments([*tiny, "train.validate_every=2"])


@pytest.fixture(scope="module")
def own(sets: list[str]) -> list[str]:
    """Relation networks have a published train.clip_norm, which is searched; here it is taken away.

    Options.
    """
    more = ["method.name=relation", "task.train_ways=5", "train.clip_norm=null"]
    return [*sets, *arguments(more)]


@pytest.fixture(scope="module")
def undisturbed(
    metaray: Command, own: list[str], space: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A sweep with a callback of its own."""
    place: Path = tmp_path_factory.mktemp("undisturbed")
    (place / "my_callbacks.py").write_text(CALLBACK)
    file, folder = place / "sweep.toml", place / "sweep"
    file.write_text('[monitoring]\ncallbacks = ["my_callbacks.py:Noting"]\n')
    result = metaray("sweep", file, "--space", space, "--out", folder, *ONE_BY_ONE, *own)
    assert result.returncode == 0, result.stderr
    assert "the run continues without" not in result.stdout
    assert "train.clip_norm is set to null, so it is not searched" in result.stdout
    assert "on validation; meta-test: " in result.stdout
    return folder


def test_a_sweep_runs_to_its_page_and_tests_one_trial(undisturbed: Path) -> None:
    rows = trials_of(undisturbed)
    assert [row["trial"] for row in rows] == [0, 1, 2, 3]
    assert {row["state"] for row in rows} <= {"complete", "pruned"}
    assert "<html" in (undisturbed / "sweep.html").read_text()
    assert {path.stem for path in (undisturbed / "plots").glob("*.png")} >= {"history", "curves"}
    tested = [path.parent.name for path in (undisturbed / "trials").glob("*/summary.json")]
    best = summary_of(undisturbed)["best_trial"]
    assert tested == [f"{best:04d}"]
    assert not (undisturbed / ".tune").exists()


def test_best_toml_trained_anew_gives_the_same_parameters(
    metaray: Command, undisturbed: Path, tmp_path: Path
) -> None:
    result = metaray("train", undisturbed / "best.toml", "--out", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    expected = summary_of(undisturbed)["test"]
    anew = summary_of(tmp_path / "run")
    assert anew["params_sha256"] == expected["params_sha256"]
    assert anew["accuracy"] == expected["accuracy"]
    assert_unclipped(undisturbed)
    assert clip_norm_of(tmp_path / "run") is None


def clip_norm_of(run: Path) -> float | None:
    config = json.loads((run / "config.json").read_text())
    return config["train"]["clip_norm"]  # type: ignore[no-any-return]


def assert_unclipped(sweep: Path) -> None:
    """No value in the place of a published one lasts, from trial to trial and to best.toml."""
    trials = trials_of(sweep)
    assert len(trials) == 4
    assert not any("train.clip_norm" in row for row in trials)
    assert [clip_norm_of(folder) for folder in (sweep / "trials").iterdir()] == [None] * 4
    assert 'clip_norm = "null"' in (sweep / "best.toml").read_text()


def test_killed_and_resumed_it_has_the_same_trials(
    metaray: Command, environment: dict[str, str], own: list[str], space: Path,
    undisturbed: Path, tmp_path: Path,
) -> None:  # fmt: skip
    """SIGKILL while the second trial trains; nothing is lost, and nothing is run twice."""
    folder = tmp_path / "sweep"
    options = ["--space", space, "--out", folder, *ONE_BY_ONE, *own]
    with sweeping(environment, folder, options, trials=[1]) as process:
        process.send_signal(signal.SIGKILL)
    first = (folder / "trials" / "0000" / "metrics.jsonl").stat().st_mtime_ns
    result = metaray("sweep", "--resume", folder)
    assert result.returncode == 0, result.stderr
    assert (folder / "trials" / "0000" / "metrics.jsonl").stat().st_mtime_ns == first
    assert essence(folder) == essence(undisturbed)
    assert_unclipped(folder)
    for key in ("best_trial", "best_values"):
        assert summary_of(folder)[key] == summary_of(undisturbed)[key]


@pytest.mark.slow
def test_a_diverging_trial_is_a_failure_with_its_reason_and_the_sweep_goes_on(
    metaray: Command, sets: list[str], tmp_path: Path
) -> None:
    """On workers in placement groups, side by side."""
    space, folder = tmp_path / "space.toml", tmp_path / "sweep"
    space.write_text('[train.meta_lr]\ntype = "choice"\noptions = [0.01, 1e30]\n')
    workers = arguments(["workers.count=1", "workers.cpus=0.5", "train.validate_every=3"])
    result = metaray(
        "sweep", "--space", space, "--out", folder, "--sampler", "grid",
        "--scheduler", "none", *sets, *workers,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    states = {row["train.meta_lr"]: row for row in trials_of(folder)}
    assert states[0.01]["state"] == "complete"
    assert states[1e30]["state"] == "failed"
    assert "lower" in states[1e30]["reason"]
    assert "failed: " in result.stdout


@pytest.mark.slow
def test_ctrl_c_stops_cleanly(
    environment: dict[str, str], own: list[str], space: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    options = ["--space", space, "--out", folder, *ONE_BY_ONE, *own]
    with sweeping(environment, folder, options, trials=[0]) as process:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    told = said(folder)
    assert code == 130, told
    assert "continue with metaray sweep --resume" in told
    assert "Traceback" not in told
    assert not (folder / "summary.json").exists()


@pytest.mark.slow
def test_a_trial_whose_process_is_lost_goes_on_in_another(
    environment: dict[str, str], own: list[str], space: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    options = ["--space", space, "--out", folder, *ONE_BY_ONE, *own]
    with sweeping(environment, folder, options, trials=[1]) as process:
        trials = titled(process.pid, "ImplicitFunc")
        assert trials, "no process of a trial was found"
        kill(trials)
        assert process.wait(timeout=120) == 0, said(folder)
    assert essence(folder) == essence(undisturbed)


def test_what_never_fits_fails_at_once(here: Command, sets: list[str], tmp_path: Path) -> None:
    many = arguments(["workers.count=5000"])
    result = here("sweep", "--out", tmp_path / "sweep", *sets, *many)
    assert result.returncode == 2
    assert "never fits on this cluster" in result.stderr
    assert "lower workers.count" in result.stderr
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_a_population_killed_and_resumed_takes_over_as_an_undisturbed_one(
    metaray: Command, environment: dict[str, str], sets: list[str], tmp_path: Path
) -> None:
    """Side by side, and one by one; from the method's own rates."""
    more = arguments(["train.outer_steps=8", "train.schedule=constant"])
    options = ["--scheduler", "pbt", "--num-trials", "5", "--grace", "4", *sets, *more]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    result = metaray("sweep", "--out", whole, *options)
    assert result.returncode == 0, result.stderr
    assert "continues from trial" in result.stdout
    one_by_one = ["--out", broken, "--parallel", "1", *options]
    with sweeping(environment, broken, one_by_one, trials=[3]) as process:
        process.send_signal(signal.SIGKILL)
    assert metaray("sweep", "--resume", broken).returncode == 0
    assert essence(broken) == essence(whole)
    assert {row["state"] for row in trials_of(whole)} == {"complete"}
    taken = summary_of(whole)["takeovers"]
    assert [takeover["step"] for takeover in taken] == [4]
    assert summary_of(broken)["takeovers"] == taken
    refused = metaray("sweep", "--resume", broken, "--num-trials", "9")
    assert "the trials of a population train together" in refused.stderr


def test_callbacks_of_the_settings_follow_the_sweep_and_each_trial(undisturbed: Path) -> None:
    noted = (undisturbed / "noted.txt").read_text().split()
    assert noted.count("TrialStarted") == noted.count("TrialEnded") == 4
    assert noted[-1] == "done"
    for row in trials_of(undisturbed):
        trial = undisturbed / "trials" / f"{row['trial']:04d}"
        assert (trial / "noted.txt").read_text().split().count("step") == steps_of(trial)
