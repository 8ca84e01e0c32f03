"""``metaray compare`` on a Ray of its own: side by side, failing, stopped and resumed."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from time import monotonic, sleep

import pytest
from conftest import COMMAND, Command, arguments, summary_of  # type: ignore[attr-defined]
from runs import rows_of, steps_of

pytestmark = pytest.mark.ray

QUICK = ["--seeds", "1", "--shots", "1", "--ways", "5", "--curve-episodes", "4"]


def test_a_comparison_with_workers_and_a_failure(
    metaray: Command, tiny: list[str], tmp_path: Path
) -> None:
    """One entry leads workers of its own, one diverges, and one is a process alone."""
    sets = [item for item in tiny if not item.startswith(("train.outer_steps", "workers."))]
    led, diverging = tmp_path / "led.toml", tmp_path / "diverging.toml"
    led.write_text("[workers]\ncount = 1\ncpus = 0.5\n[method]\nname = 'maml'\n")
    diverging.write_text("[method]\nname = 'maml'\ninner_lr = 1e38\n")
    out = tmp_path / "out"
    result = metaray(
        "compare", led, diverging, "--methods", "maml", "--steps", 4, "--out", out, *QUICK,
        *arguments(sets),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    summary = summary_of(out)
    assert {entry["entry"] for entry in summary["entries"]} == {"led", "maml"}
    assert list(summary["failed"]) == ["diverging, seed 0"]
    assert "diverging, seed 0 failed: " in result.stdout
    alone, with_workers = (summary_of(out / "runs" / n / "seed0") for n in ("maml", "led"))
    assert (alone["workers"], with_workers["workers"]) == (0, 1)
    assert with_workers["params_sha256"] == alone["params_sha256"]
    other = next(entry for entry in summary["entries"] if entry["difference"])
    assert (other["difference"]["mean"], other["difference"]["p_t"]) == (0.0, 1.0)
    assert "<html" in (out / "compare.html").read_text()
    again = metaray("compare", "--steps", 4, "--methods", "maml", "--out", out)
    assert again.returncode == 2
    assert "already holds a comparison" in again.stderr


@pytest.mark.slow
def test_stopped_and_resumed(
    metaray: Command, environment: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sets = [item for item in tiny if not item.startswith("train.checkpoint_every")]
    command = [
        *COMMAND, "compare", "--methods", "protonet,maml", "--steps", "60", "--parallel", "1",
        "--out", str(out), *QUICK, *arguments([*sets, "train.checkpoint_every=50"]),
    ]  # fmt: skip
    first, second = (out / "runs" / name / "seed0" for name in ("protonet", "maml"))
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        deadline = monotonic() + 120
        while steps_of(second) < 3:
            assert monotonic() < deadline
            assert process.poll() is None, process.communicate()[0]
            sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert f"metaray compare --resume {out}" in output
    assert "Traceback" not in output
    steps = steps_of(second)
    assert 3 <= steps < 60
    assert (second / "checkpoints" / f"step-{steps:08d}.safetensors").exists()
    kept = (first / "measures.json").stat().st_mtime_ns
    result = metaray("compare", "--resume", out)
    assert result.returncode == 0, result.stderr
    assert (first / "measures.json").stat().st_mtime_ns == kept
    rows = rows_of(second)
    assert [row["step"] for row in rows] == list(range(1, 61))
    assert len(summary_of(out)["entries"]) == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--methods", "maml"], "needs one budget for all, got none"),
        (["--methods", "maml", "--steps", 2, "--tasks", 2], "needs one budget for all, got 2"),
        (["--steps", 2], "nothing to compare"),
        (["--methods", "malm", "--steps", 2], "did you mean maml"),
        (["--methods", "maml", "--steps", 2, "--shots", "one"], "--shots takes whole numbers"),
        (["--resume", "nowhere"], "is not a comparison directory (there is no such folder)"),
        (
            ["--resume", "nowhere", "--steps", 2],
            "as it began: leave out --steps",
        ),
        (
            ["--methods", "maml", "--steps", 2, "--set", "workers.count=900"],
            "maml: there is room for",
        ),
    ],
)
def test_bad_input(
    here: Command, cache: Path, tmp_path: Path, options: list[object], sentence: str
) -> None:
    data = arguments([f"data.cache={cache}", "data.num_classes=200", "data.image_size=16"])
    out = [] if "--resume" in options else ["--out", tmp_path / "out", *data]
    result = here("compare", *options, *out)
    assert result.returncode == 2, result.stderr
    assert sentence in result.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()
