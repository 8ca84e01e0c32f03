"""Trials that Ray Tune loses: it waits a short time for the thread of a trial that was pruned."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import COMMAND, arguments  # type: ignore[attr-defined]
from sweeps import SPACE, trials_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

SLOW_TO_END = """
from time import sleep

from metaray.platform.callbacks.base import Callback


class SlowToEnd(Callback):
    def on_end(self, state, error):
        sleep(3)
"""


@pytest.mark.parametrize("is_patient", [True, False], ids=["patient", "impatient"])
def test_no_trial_is_lost_when_the_one_before_it_is_slow_to_end(
    environment: dict[str, str], tiny: list[str], tmp_path: Path, is_patient: bool
) -> None:
    """Three seconds, where Tune waits two by default; an impatient one waits none."""
    (tmp_path / "slow.py").write_text(SLOW_TO_END)
    (tmp_path / "sweep.toml").write_text('[monitoring]\ncallbacks = ["slow.py:SlowToEnd"]\n')
    (tmp_path / "space.toml").write_text(SPACE)
    folder = tmp_path / "sweep"
    options = ["--space", tmp_path / "space.toml", "--out", folder, "--sampler", "random"]
    options += ["--num-trials", "3", "--parallel", "1"]
    sets = arguments([*tiny, "train.validate_every=2"])
    done = subprocess.run(
        [*COMMAND, "sweep", tmp_path / "sweep.toml", *options, *sets],
        env=environment | ({} if is_patient else {"TUNE_FUNCTION_THREAD_TIMEOUT_S": "0"}),
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    states = [row["state"] for row in trials_of(folder)]
    assert len(states) == 3
    assert set(states) == {"complete", "pruned"}, done.stdout
    assert ("starting again" in done.stdout) != is_patient
