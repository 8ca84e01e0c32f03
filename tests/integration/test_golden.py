"""Runs of every kind against values that were written down: the same bits as ever.

``golden/values.json`` has an entry for each case: the hash of the parameters that were tested, the
result of the test, the losses of each step, and the machine that computed them (what torch's
kernels are chosen by, and torch's version). On such a machine everything is compared bit for bit.
On any other, where the order of sums in torch's kernels may differ, only the losses of training
and validation are compared, to a relative 1e-4, and a warning says so.

The cases use nothing but the command line and the files in run directories.

To write the values of new cases, leaving those that are there alone::

    METARAY_GOLDEN=add pytest tests/integration/test_golden.py -m "slow or not slow"

A case that has an entry already then fails, unless it still has the same values. To overwrite
entries, after a change that is meant to change results, name the cases and say so::

    METARAY_GOLDEN=replace pytest tests/integration/test_golden.py -k "one_process and maml"

One process only (no ``-n``), as all cases are in one file.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]
from runs import rows_of

VALUES = Path(__file__).parent / "golden" / "values.json"
HOW = "METARAY_GOLDEN"
"""environment variable: unset compares, ``add`` writes new entries, ``replace`` overwrites"""

OF_SUMMARY = (
    "params_sha256", "tested_step", "num_parameters", "best_trial",
    "accuracy", "baseline_accuracy", "mse", "baseline_mse", "loss", "ci95", "val_accuracy",
)  # fmt: skip
OF_ROW = ("step", "loss", "grad_norm", "val_loss", "val_mse", "val_accuracy")
LOSSES = ("loss", "val_loss", "val_mse")

META = (
    "model.width=4",
    "task.queries=2",
    "train.outer_steps=3",
    "train.meta_batch_size=5",
    "train.shard_size=2",
    "train.validate_every=2",
    "train.validate_episodes=4",
    "train.checkpoint_every=2",
    "evaluate.num_episodes=6",
    "evaluate.shard_size=4",
)
"""A run of a second; the last shard of a step is smaller than the others."""
GLYPHS = (*META, "data.num_classes=60", "data.image_size=16")
TRANSFER = (
    "data.num_classes=5",
    "data.image_size=16",
    "model.width=4",
    "train.steps=4",
    "train.batch_size=12",
    "train.shard_size=5",
    "train.validate_every=2",
    "train.checkpoint_every=2",
)
WAYS = ("task.train_ways=8",)
"""More ways in training than in the test, for methods without a fixed head."""

OF_METHOD: dict[str, tuple[str, ...]] = {
    "maml": (),
    "fomaml": (),
    "anil": (),
    "reptile": (),
    "protonet": WAYS,
    "mamlpp": (),
    "metasgd": (),
    "protomaml": WAYS,
    "matching": WAYS,
    "relation": WAYS,
    "siamese": WAYS,
    "mann": (),
    "snail": (),
    "baseline": (),
    "baselinepp": (),
}
"""All methods, and what each adds to the settings."""


@dataclass(frozen=True)
class Case:
    """One run of the command."""

    command: str
    sets: Sequence[str]

    def run(self, command: Command, cache: Path, out: Path, workers: int, *options: object) -> None:
        """Carry it out into ``out``."""
        own = [f"data.cache={cache}", f"workers.count={workers}"]
        own += ["workers.cpus=0.5"] if workers else []
        words = [*self.command.split(), "--out", out, *options, *arguments([*self.sets, *own])]
        done = command(*words)
        assert done.returncode == 0, done.stderr


META_CASES = {
    **{
        method: Case("train", [*GLYPHS, f"method.name={method}", *more])
        for method, more in OF_METHOD.items()
    },
    "sinusoid": Case("train", [*META, "data.name=sinusoid", "method.name=maml"]),
    "maml, other settings": Case(
        "train",
        [
            *GLYPHS, "method.name=maml", "task.shots=2", "evaluate.batch_norm=inductive",
            "method.train_batch_norm=inductive", "train.optimizer=sgd", "train.schedule=cosine",
            "train.clip_norm=1", "evaluate.checkpoint=last", "seed=3",
        ],
    ),
    "protonet, other settings": Case(
        "train",
        [
            *GLYPHS, "method.name=protonet", "evaluate.batch_norm=inductive",
            "model.name=conv4_strided", "train.schedule=step", "train.lr_step_every=1",
        ],
    ),
}  # fmt: skip
TRANSFER_CASES = {
    "finetune": Case("transfer finetune", TRANSFER),
    "dann": Case(
        "transfer dann",
        [*TRANSFER, "target.name=glyphs", "target.num_classes=5", "target.division_seed=1"],
    ),
    "distill": Case("transfer distill", [*TRANSFER, "job.hint_weight=1"]),
    "simclr": Case("transfer simclr", TRANSFER),
    "moco": Case("transfer moco", [*TRANSFER, "job.queue_size=30"]),
}
SWEEP = Case("sweep", [*GLYPHS, "method.name=maml"])
SPACE = """
[method.inner_lr]
type = "float"
low = 0.05
high = 2.0
log = true

[task.train_shots]
type = "int"
low = 1
high = 3
"""
QUICK_ON_RAY = ("maml", "protonet", "reptile")


def machine() -> dict[str, str]:
    """What decides whether results are the same to the bit."""
    return {"cpu": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}


def facts(folder: Path) -> dict[str, Any]:
    """What is compared of a run that has ended; of one that was not tested, the steps alone."""
    tested = (folder / "summary.json").exists()
    summary = summary_of(folder) if tested else {}
    return {
        "summary": {key: summary[key] for key in OF_SUMMARY if key in summary},
        "rows": [{key: row[key] for key in OF_ROW if key in row} for row in rows_of(folder)],
    }


def check(name: str, found: dict[str, Any]) -> None:
    """Compare ``found`` with the entry ``name``, or write it where that was asked for."""
    values = json.loads(VALUES.read_text()) if VALUES.exists() else {}
    how = os.environ.get(HOW)
    if how is not None:
        assert how in ("add", "replace"), f"{HOW} is add or replace, not {how!r}"
        assert "PYTEST_XDIST_WORKER" not in os.environ, f"{HOW} works in one process: leave out -n"
        entry = {"machine": machine(), **found}
        if how == "add" and values.get(name, entry) != entry:
            pytest.fail(f"{name} has an entry with other values; {HOW}=replace overwrites it")
        _write({**values, name: entry})
        return
    assert name in values, f"{name} has no entry in {VALUES.name}: write one with {HOW}=add"
    expected = dict(values[name])
    theirs = expected.pop("machine")
    if machine() == theirs:
        assert found == expected
        return
    warnings.warn(
        f"golden values of {name} are from {theirs}, this is {machine()}: "
        "losses are compared to 1e-4, not to the bit",
        stacklevel=2,
    )
    assert [row.keys() for row in found["rows"]] == [row.keys() for row in expected["rows"]]
    for mine, other in zip(found["rows"], expected["rows"], strict=True):
        for key in LOSSES:
            if key in other:
                assert mine[key] == pytest.approx(other[key], rel=1e-4), (mine["step"], key)


def _write(values: dict[str, Any]) -> None:
    VALUES.parent.mkdir(exist_ok=True)
    parts = []
    for name, entry in sorted(values.items()):  # a line for each row of a log
        rows = ",\n".join(f"   {json.dumps(row)}" for row in entry["rows"])
        head = ",\n".join(f'  "{key}": {json.dumps(entry[key])}' for key in ("machine", "summary"))
        parts.append(f' {json.dumps(name)}: {{\n{head},\n  "rows": [\n{rows}\n  ]\n }}')
    VALUES.write_text("{\n" + ",\n".join(parts) + "\n}\n")


pytestmark = pytest.mark.filterwarnings("default:golden values of:UserWarning")


def test_every_method_has_a_case(here: Command) -> None:
    shown = here("methods").stdout.splitlines()
    listed = {line.split()[0] for line in shown[1:] if line and not line.startswith(" ")}
    assert listed == set(OF_METHOD)


@pytest.mark.parametrize("name", list(META_CASES))
def test_meta_training_in_one_process(
    here: Command, cache: Path, tmp_path: Path, name: str
) -> None:
    META_CASES[name].run(here, cache, tmp_path / "run", 0)
    check(name, facts(tmp_path / "run"))


@pytest.mark.parametrize("name", list(TRANSFER_CASES))
def test_transfer_in_one_process(here: Command, cache: Path, tmp_path: Path, name: str) -> None:
    case = TRANSFER_CASES[name]
    if name == "distill":
        Case("transfer finetune", [*TRANSFER, "model.width=6"]).run(
            here, cache, tmp_path / "teacher", 0
        )
        case = Case(case.command, [*case.sets, f"job.teacher={tmp_path / 'teacher'}"])
    case.run(here, cache, tmp_path / "run", 0)
    check(name, facts(tmp_path / "run"))


@pytest.mark.ray
def test_trials_of_a_sweep(metaray: Command, cache: Path, tmp_path: Path) -> None:
    """Trial 0 has the method's own settings, trial 1 what the sampler proposes."""
    (tmp_path / "space.toml").write_text(SPACE)
    options = ["--space", tmp_path / "space.toml", "--num-trials", 2, "--parallel", 1]
    SWEEP.run(metaray, cache, tmp_path / "out", 0, *options, "--scheduler", "none")
    best = summary_of(tmp_path / "out")["best_trial"]
    for trial in (0, 1):
        found = facts(tmp_path / "out" / "trials" / f"{trial:04d}")
        assert bool(found["summary"]) == (trial == best)
        check(f"sweep, trial {trial}", found)


@pytest.mark.ray
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK_ON_RAY else pytest.mark.slow)
        for name in META_CASES
    ],
)
def test_meta_training_with_two_workers(
    metaray: Command, cache: Path, tmp_path: Path, name: str
) -> None:
    """The values of one process."""
    META_CASES[name].run(metaray, cache, tmp_path / "run", 2)
    check(name, facts(tmp_path / "run"))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_transfer_with_two_workers(metaray: Command, cache: Path, tmp_path: Path) -> None:
    """Two workers add in another order, so the values are their own."""
    TRANSFER_CASES["finetune"].run(metaray, cache, tmp_path / "run", 2)
    check("finetune, two workers", facts(tmp_path / "run"))
