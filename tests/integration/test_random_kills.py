"""Comparisons, sweeps and transfer jobs, killed at random moments, end as undisturbed ones."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND, Command, arguments, summary_of  # type: ignore[attr-defined]
from image_files import write_images

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]
KILLS = 5
LONGER = ["train.outer_steps=40", "train.checkpoint_every=5", "train.validate_every=20"]


def result_of(command: str, folder: Path) -> Any:
    """What must not depend on kills."""
    summary = summary_of(folder)
    if command == "compare":
        return [(entry["entry"], entry["score"]) for entry in summary["entries"]]
    if command == "sweep":
        loss = summary["best_metrics"]["val_loss"]
        return summary["best_values"], loss, summary["test"]["params_sha256"]
    return {key: summary[key] for key in ("accuracy", "steps", "tested_step", "before")}


def command_of(kind: str, tiny: list[str], images: Path) -> list[str]:
    if kind == "compare":
        options = ["--methods", "maml,protonet", "--steps", "40", "--parallel", "1"]
        options += ["--shots", "1", "--ways", "5", "--curve-episodes", "2", "--seeds", "1"]
        return ["compare", *options, *arguments([*tiny, *LONGER[1:]])]
    if kind == "sweep":
        options = ["--num-trials", "3", "--parallel", "1", "--sampler", "random"]
        return ["sweep", *options, *arguments([*tiny, *LONGER])]
    sets = [*write_images(images), "model.width=4", "train.steps=40", "train.batch_size=24"]
    sets += ["train.shard_size=8", "train.validate_every=10", "train.checkpoint_every=5"]
    return ["transfer", "finetune", *arguments([*sets, "workers.cpus=0.5", "workers.count=2"])]


@pytest.mark.parametrize("kind", ["compare", "sweep", "transfer"])
def test_kills_at_random_moments_change_nothing(
    kind: str, metaray: Command, environment: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    words = command_of(kind, tiny, tmp_path / "images")
    assert metaray(*words, "--out", tmp_path / "whole").returncode == 0
    out, chance = tmp_path / "out", random.Random(7)
    marker = out / {"compare": "compare.json", "sweep": "sweep.json"}.get(kind, "config.json")
    kills = 0
    while True:
        if not marker.is_file():
            shutil.rmtree(out, ignore_errors=True)
        verb = words[: words.index("finetune") + 1] if kind == "transfer" else words[:1]
        again = [*verb, "--resume", str(out)] if out.exists() else [*words, "--out", str(out)]
        with subprocess.Popen(
            [*COMMAND, *again], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        ) as process:  # fmt: skip
            try:
                said, _ = process.communicate(
                    timeout=chance.uniform(4, 25) if kills < KILLS else 300
                )
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
                continue
        assert process.returncode == 0, said
        break
    assert kills
    assert result_of(kind, out) == result_of(kind, tmp_path / "whole")
