"""A small real comparison: two methods, two seeds, run in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.compare.make_plan import make_plan, named_entries
from metaray.platform.compare.one_run import perform
from metaray.platform.compare.plan import Plan
from metaray.platform.experiment.comparison import Budget


@pytest.fixture(scope="session")
def plan(tiny: list[str]) -> Plan:
    return make_plan(
        named_entries([], "maml,protonet", tiny),
        budget=Budget(unit="steps", amount=6),
        num_seeds=2,
        shots=[2],
        ways=[3],
        curve_episodes=6,
    )


@pytest.fixture(scope="session")
def original(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> CompareDirectory:
    directory = CompareDirectory.create(tmp_path_factory.mktemp("compare") / "out")
    plan.write(directory.plan)
    configs = {entry.name: entry for entry in plan.entries}
    for folder in directory.runs(plan):
        config = configs[folder.entry].config_of(folder.seed)
        perform(config, folder, plan.curves, "local", CallbackList())
    return directory


@pytest.fixture
def finished(original: CompareDirectory, tmp_path: Path) -> CompareDirectory:
    """A copy that a test may change."""
    shutil.copytree(original.path, tmp_path / "copy")
    return CompareDirectory(tmp_path / "copy")
