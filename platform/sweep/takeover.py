"""One trial's run directory becomes the continuation of another's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from metaray.platform.atomic import write_json
from metaray.platform.results import write_config
from metaray.platform.run_directory import RunDirectory
from metaray.platform.sweep.directory import SweepDirectory
from metaray.platform.sweep.kinds import SweptConfig
from metaray.platform.sweep.population import Takeover


def carry_out(folder: SweepDirectory, takeover: Takeover, config: SweptConfig) -> None:
    """Give the trial what the source has at ``takeover.step``, and ``config`` to go on with.

    Parameters, buffers, optimizer, the best on validation and the course of metrics come over:
    the run directory tells the history of its parameters. ``lineage.json`` tells where they are
    from. Once done, a second call does nothing; one that was killed is done again.
    """
    path, source = folder.trial(takeover.trial), RunDirectory(folder.trial(takeover.source))
    draft, old = path.with_suffix(".new"), path.with_suffix(".old")
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    if any(entry["step"] == takeover.step for entry in read_lineage(path)):
        return
    run = RunDirectory.create(draft)
    shutil.copyfile(source.data, run.data)
    shutil.copyfile(source.metrics, run.metrics)
    shutil.copytree(source.checkpoints, run.checkpoints, dirs_exist_ok=True)
    write_config(run.config, config)
    write_json(_lineage(draft), [*read_lineage(source.path), takeover.as_dict()])
    if path.exists():
        path.rename(old)
    draft.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def read_lineage(folder: Path) -> list[dict[str, object]]:
    """The takeovers that the parameters in a run directory have behind them, in their order."""
    try:
        lineage: list[dict[str, object]] = json.loads(_lineage(folder).read_text(encoding="utf-8"))
        return lineage
    except FileNotFoundError:
        return []


def last_saved_step(folder: Path) -> int:
    """The outer step of the newest checkpoint in a run directory; 0 if there is none."""
    names = RunDirectory(folder).checkpoints.glob("step-*.safetensors")
    return max((int(path.stem.removeprefix("step-")) for path in names), default=0)


def _lineage(folder: Path) -> Path:
    return folder / "lineage.json"
