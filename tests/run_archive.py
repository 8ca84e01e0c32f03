"""The 20 runs of Omniglot's one-shot test in their official form. Bars stand for drawings."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from PIL import Image


def drawing(run: int, character: int, hand: int) -> bytes:
    """A 1-bit PNG, black on white: a bar whose place tells the run and the character.

    ``hand`` 0 or 1: two people draw it a little differently.
    """
    ink = np.zeros((105, 105), dtype=bool)
    ink[5 * character : 5 * character + 4, 4 * run + hand : 4 * run + 20] = True
    file = io.BytesIO()
    Image.fromarray(~ink).convert("1").save(file, "PNG")
    return file.getvalue()


def runs(num_runs: int = 20, ways: int = 20) -> dict[str, bytes]:
    """The files of ``all_runs.zip`` by name. The answers of each run are in another order."""
    files: dict[str, bytes] = {}
    for run in range(num_runs):
        order = np.random.default_rng(run).permutation(ways)
        place = f"run{run + 1:02d}"
        for character in range(ways):
            files[f"{place}/training/class{character + 1:02d}.png"] = drawing(run, character, 0)
            asked = drawing(run, int(order[character]), 1)
            files[f"{place}/test/item{character + 1:02d}.png"] = asked
        files[f"{place}/class_labels.txt"] = "".join(
            f"{place}/test/item{item + 1:02d}.png {place}/training/class{of + 1:02d}.png\n"
            for item, of in enumerate(order)
        ).encode()
    return files


def zipped(files: dict[str, bytes], above: str = "") -> bytes:
    """Them as a zip, below a folder ``above`` such as ``all_runs/``."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(above + name, content)
    return file.getvalue()
