"""The real command, in a process of its own, or here where that is all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metaray.platform.cli.main import run

Command = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-m", "metaray"]


def arguments(sets: list[str]) -> list[str]:
    """Settings as ``--set`` options."""
    return [part for item in sets for part in ("--set", item)]


def summary_of(folder: Path) -> dict[str, Any]:
    """A run's summary."""
    return json.loads((folder / "summary.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """A terminal of fixed width, and no Ray settings of the machine's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture(scope="session")
def metaray(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run ``metaray`` with arguments, in a folder of its own."""
    folder = tmp_path_factory.mktemp("cwd")

    def command(*args: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, args)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return command


@pytest.fixture
def here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """As ``metaray``, in this process: the libraries are loaded already, which saves seconds."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def command(*args: object) -> subprocess.CompletedProcess[str]:
        words = ["metaray", *map(str, args)]
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as ended:
                run()
        output = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(words, code, output.out, output.err)

    return command


@pytest.fixture
def nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, plots are blank: drawing is most of the time of a run of a second."""
    from matplotlib.figure import Figure

    def savefig(figure: Figure, target: Any, **options: Any) -> None:
        blank = b"<svg/>"
        if hasattr(target, "write"):
            target.write(blank)
        else:
            Path(target).write_bytes(blank)

    monkeypatch.setattr(Figure, "savefig", savefig)
