"""``metaray reproduce``, with a schedule of a few steps."""

from __future__ import annotations

from pathlib import Path

from conftest import Command  # type: ignore[attr-defined]
from runs import rows_of

QUICK = (
    "--set", "train.outer_steps=4", "--set", "train.validate_every=0",
    "--set", "evaluate.num_episodes=4",
)  # fmt: skip


def test_a_row_is_trained_continued_and_judged(here: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = here("reproduce", "metasgd-sinusoid-5", "--out", run, *QUICK)
    assert first.returncode == 0, first.stderr
    said = "published 0.900 (Li et al. 2017 (arXiv 1707.09835), table 1); here "
    changed = "with other settings than published: train.outer_steps, train.validate_every"
    assert said in first.stdout
    assert changed in first.stdout
    (run / "summary.json").unlink()
    again = here("reproduce", "metasgd-sinusoid-5", "--out", run)
    assert again.returncode == 0, again.stderr
    assert changed in again.stdout
    assert [row["step"] for row in rows_of(run)] == [1, 2, 3, 4]


def test_the_table_and_mistakes(here: Command) -> None:
    table = here("reproduce")
    assert "protonet-omniglot-20way-1shot" in table.stdout
    assert "96.00 %" in table.stdout
    unknown = here("reproduce", "metasgd-sinusoid-7")
    assert unknown.returncode == 2
    assert "is none of the published results" in unknown.stderr
    remote = here("reproduce", "metasgd-sinusoid-5", "--out", "s3://lab/run")
    assert remote.returncode == 2
    assert "give a folder" in remote.stderr
