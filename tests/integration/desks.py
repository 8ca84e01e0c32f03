"""The commands of a page, in the folder that a user of the page has."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import documented  # type: ignore[import-not-found]
from conftest import Command, arguments  # type: ignore[attr-defined]

Done = tuple[list[str], "subprocess.CompletedProcess[str]"]
Smaller = Callable[[list[str]], "Mapping[str, Any] | None"]


def commands_run(
    page: Path, desk: Path, here: Command, tmp_path: Path, smaller: Smaller
) -> Iterator[Done]:
    """Each command with its words, after it has run in ``desk`` without an error.

    ``smaller`` gives the settings of a small budget by the words, or options by their name with
    dashes; None: the command is left out.
    """
    tmp_path.rmdir()
    tmp_path.symlink_to(desk)  # ``here`` runs commands in this folder
    for block in documented.blocks(page):
        for words in documented.commands(block):
            settings = smaller(words)
            if settings is None:
                continue
            options = [p for key, v in settings.items() if key.startswith("--") for p in (key, v)]
            sets = [f"{key}={v}" for key, v in settings.items() if not key.startswith("--")]
            done = here(*words, *options, *arguments(sets))
            assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
            yield words, done
