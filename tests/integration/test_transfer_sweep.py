"""A whole sweep of transfer jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]
from sweeps import trials_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SPACE = """
[train.lr]
type = "float"
low = 0.003
high = 0.3
log = true

[job.strategy]
type = "choice"
options = ["full", "discriminative"]
"""


def test_a_sweep_of_fine_tuning_runs_to_its_page_and_best_toml_trains_the_same(
    metaray: Command, cache: Path, tmp_path: Path
) -> None:
    space, folder = tmp_path / "space.toml", tmp_path / "sweep"
    space.write_text(SPACE)
    sets = [
        "job.name=finetune",
        f"data.cache={cache}",
        "data.num_classes=5",
        "data.image_size=16",
        "model.width=8",
        "train.steps=30",
        "train.validate_every=10",
        "train.batch_size=16",
    ]
    swept = metaray(
        "sweep", "--space", space, "--out", folder, "--num-trials", 3, *arguments(sets)
    )  # fmt: skip
    assert swept.returncode == 0, swept.stderr
    assert "train it again: metaray transfer finetune" in swept.stdout

    summary = summary_of(folder)
    rows = trials_of(folder)
    assert [row["trial"] for row in rows] == [0, 1, 2]
    assert rows[0]["train.lr"] == 0.01
    assert {row["state"] for row in rows} <= {"complete", "pruned"}
    assert "Sweep of Fine-tuning" in (folder / "sweep.html").read_text()
    assert (folder / "plots" / "curves.png").is_file()
    tested = [path.parent.name for path in (folder / "trials").glob("*/summary.json")]
    assert tested == [f"{summary['best_trial']:04d}"]

    anew = metaray("transfer", "finetune", folder / "best.toml", "--out", tmp_path / "anew")
    assert anew.returncode == 0, anew.stderr
    for key in ("params_sha256", "accuracy", "before"):
        assert summary_of(tmp_path / "anew")[key] == summary["test"][key]
