"""Values that were written down once, and what is read of a run to compare it with them."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import summary_of  # type: ignore[attr-defined]
from runs import rows_of

VALUES = Path(__file__).parent / "golden" / "values.json"
HOW = "METARAY_GOLDEN"
"""environment variable: unset compares, ``add`` writes new entries, ``replace`` overwrites"""

OF_SUMMARY = (
    "params_sha256", "tested_step", "num_parameters", "best_trial",
    "accuracy", "baseline_accuracy", "mse", "baseline_mse", "loss", "ci95", "val_accuracy",
)  # fmt: skip
OF_ROW = ("step", "loss", "grad_norm", "val_loss", "val_mse", "val_accuracy")
WARNING = "default:golden values of:UserWarning"
"""filter of the warning that another machine wrote them, which is shown and no error"""
LOSSES = ("loss", "val_loss", "val_mse")


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
        mine, other = found["summary"], expected["summary"]
        if "ci95" in other:  # whose last bit SciPy rounds as it likes
            assert mine["ci95"] == pytest.approx(other["ci95"], rel=1e-12)
            found = found | {"summary": mine | {"ci95": other["ci95"]}}
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
