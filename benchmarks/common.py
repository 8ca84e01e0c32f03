"""What the benchmarks share: a table on the screen, JSON on disk, where the real data is."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file

from metaray.platform.common.versions import versions

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
RESULTS = Path(__file__).parent / "results"

METARAY = [sys.executable, "-W", "ignore", "-m", "metaray"]
"""the command line, of the package that is imported here"""

Row = dict[str, Any]


def report(name: str, rows: Sequence[Row], **facts: Any) -> None:
    """Print ``rows`` as a table and write them to ``results/NAME.json`` with versions."""
    console = Console(width=160)
    table = Table(*rows[0], title=name)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {**facts, "machine": machine(), "versions": versions(), "rows": list(rows)}
    path.write_text(json.dumps(content, indent=1) + "\n")
    console.print(f"written to {path.relative_to(Path.cwd())}")


def omniglot_settings(split: str) -> list[str]:
    """Settings for the real Omniglot, or exit when it is not there."""
    root = SHARED_DATA / "omniglot"
    if not root.is_dir():
        raise SystemExit(f"skipped: no Omniglot at {root}")
    return ["data.name=omniglot", f"data.root={root}", f"data.split={split}"]


def options(settings: Iterable[str]) -> list[str]:
    """Settings as words of the command line."""
    return [word for setting in settings for word in ("--set", setting)]


def has_begun(run: Path) -> bool:
    """Whether a run has logged a step."""
    log = run / "metrics.jsonl"
    return log.exists() and log.stat().st_size > 0


def rows_of(run: Path) -> list[Row]:
    """Its log so far, without a line that is only half there."""
    if not has_begun(run):
        return []
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def newest_checkpoint(run: Path) -> bytes:
    """The tensors of a run's last step, byte by byte."""
    tensors = load_file(max((run / "checkpoints").glob("*.safetensors")))
    return b"".join(tensors[name].tobytes() for name in sorted(tensors))


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def machine() -> dict[str, Any]:
    import os

    return {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
