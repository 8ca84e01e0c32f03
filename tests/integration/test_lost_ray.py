"""A run whose Ray ends says so soon, has failed, and can be resumed."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest
from conftest import Command  # type: ignore[attr-defined]
from forks import processes_below
from runs import output_of, running, wait_for_step

from metaray.platform.run.status import Status


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_lost_ray_is_named(
    name: str, here: Command, environment: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    sets = [*tiny, "train.outer_steps=100000", "train.schedule=constant", "workers.count=1"]
    with running(environment, "train", folder, [*sets, "workers.cpus=0.5"]) as process:
        wait_for_step(folder, 4)
        lost = [one for one in processes_below(process.pid) if name in one.name()]
        lost[0].kill()
        began = monotonic()
        assert process.wait(timeout=120) == 1, output_of(folder)
        assert monotonic() - began < 30  # as docs/reliability.md says
    output = output_of(folder)
    assert "metaray: Ray ended while the run used it" in output
    assert "continue with --resume" in output
    assert "Traceback" not in output
    assert "lower workers.cpus" not in output
    status = Status.read(folder)
    assert status is not None
    assert status.state == "failed"
    resumed = here(
        "train", "--resume", folder, "--set", "workers.count=0", "--set", "train.time_budget_s=0.01"
    )
    assert resumed.returncode == 0, resumed.stderr
