"""Two commands on one folder: the second is refused in one sentence, and reading stays allowed."""

from __future__ import annotations

import signal
from pathlib import Path

from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]
from runs import output_of, running, wait_for_step

from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.compare.make_plan import make_plan as compare_plan
from metaray.platform.compare.make_plan import named_entries
from metaray.platform.compare.plan import Budget
from metaray.platform.run.lock import locked
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep import study
from metaray.platform.sweep.plan import make_plan as sweep_plan
from metaray.platform.sweep.space_file import space_text
from metaray.tune_spaces.space import Float

SLOW = """
from time import sleep
from metaray.platform.callbacks.base import Callback

class Slow(Callback):
    def on_step(self, row):
        sleep(1 if row["step"] > 2 else 0)
"""


def test_a_run_that_trains_is_not_resumed_but_can_be_tested(
    here: Command, environment: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    (tmp_path / "slow.py").write_text(SLOW)  # it leaves the CPU to the other commands
    sets = [*tiny, "train.outer_steps=1000", f'monitoring.callbacks=["{tmp_path}/slow.py:Slow"]']
    with running(environment, "train", folder, sets) as process:
        wait_for_step(folder, 3)
        for options in (["--resume", folder], ["--resume", folder, "--set", "workers.count=1"]):
            result = here("train", *options)
            assert result.returncode == 2, output_of(folder)
            assert f"the run in {folder} is in use by process {process.runs_in} on" in result.stderr
            assert "Traceback" not in result.stderr
        assert here("evaluate", folder).returncode == 0
        assert summary_of(folder)["num_episodes"] == 10
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        (folder / "report.html").unlink()
        resumed = here("train", "--resume", folder, *arguments(["train.time_budget_s=0.01"]))
        assert resumed.returncode == 0, resumed.stderr
    assert not (folder / ".lock").exists()


def test_a_sweep_and_a_comparison_have_one_process(
    here: Command, tiny: list[str], tmp_path: Path
) -> None:
    sweep = SweepDirectory.create(tmp_path / "sweep")
    plan = sweep_plan({}, study_name="sweep")
    study.create_study(plan, sweep, None)
    space = space_text({"train.meta_lr": Float(low=0.1, high=0.2)})
    sweep.space(plan.space_suffix).write_text(space)
    plan.write(sweep.plan)
    comparison = CompareDirectory.create(tmp_path / "comparison")
    entries = named_entries([], "maml", tiny)
    budget = Budget(unit="steps", amount=6)
    compare_plan(entries, budget=budget, shots=[2], ways=[3]).write(comparison.plan)
    for name, folder in (("sweep", sweep), ("compare", comparison)):
        with locked(folder.lock, "it"):
            result = here(name, "--resume", folder.path)
        assert result.returncode == 2, result.stderr
        assert f"in {folder.path} is in use by process" in result.stderr
        assert "Traceback" not in result.stderr
