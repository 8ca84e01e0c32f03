"""Runs of every kind against values that were written down: the same bits as ever.

``golden/values.json`` has an entry for each case: the hash of the parameters that were tested, the
result of the test, the losses of each step, and the machine that computed them (what torch's
kernels are chosen by, and torch's version). On such a machine everything is compared bit for bit.
On any other, where the order of sums in torch's kernels may differ, only the losses of training
and validation are compared, to a relative 1e-4, and a warning says so.

The cases use nothing but the command line and the files in run directories.
``test_old_runs.py`` has entries of its own in the same file, which are written in the same way.

To write the values of new cases, leaving those that are there alone::

    METARAY_GOLDEN=add pytest tests/integration/test_golden.py -m "slow or not slow"

A case that has an entry already then fails, unless it still has the same values. To overwrite
entries, after a change that is meant to change results, name the cases and say so::

    METARAY_GOLDEN=replace pytest tests/integration/test_golden.py -k "one_process and maml"

One process only (no ``-n``), as all cases are in one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]
from golden_values import WARNING, check, facts
from sweeps import SPACE

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
    "workers.derivatives=autograd",  # as in versions that had no other
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
    "imaml": (),
    "protomaml": WAYS,
    "matching": WAYS,
    "relation": WAYS,
    "siamese": WAYS,
    "mann": (),
    "snail": (),
    "caml": (*WAYS, "method.layers=2", "method.width=128"),
    "baseline": (),
    "baselinepp": (),
    "nearest_mean": WAYS,
    "knn": WAYS,
    "logistic": WAYS,
    "ridge": WAYS,
    "lda": WAYS,
    "pt_map": WAYS,
    "laplacianshot": (*WAYS, "method.neighbours=100"),  # all: ties would be broken by rounding
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
BY_RULES = ("maml", "anil", "reptile", "protonet", "mamlpp", "protomaml", "baseline", "sinusoid")
META_CASES |= {
    f"{name}, by rules": Case("train", [*META_CASES[name].sets, "workers.derivatives=rules"])
    for name in BY_RULES
}
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
QUICK_ON_RAY = ("maml",)
"""``test_distributed.py`` has a method of each family."""


pytestmark = pytest.mark.filterwarnings(WARNING)


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
    TRANSFER_CASES["finetune"].run(metaray, cache, tmp_path / "run", 2)
    check("finetune", facts(tmp_path / "run"))
