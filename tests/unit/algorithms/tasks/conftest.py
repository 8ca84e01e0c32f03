"""A small Omniglot in exactly the published layout."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

LAYOUT = {
    "images_background": {"Latin": 3, "Greek": 2, "Tifinagh": 2},
    "images_evaluation": {"Tengwar": 2, "Ge_ez": 3},
}
DRAWINGS = 4


def pattern(number: int, drawing: int) -> np.ndarray:
    """True where there is ink, 105 x 105: a bar whose place tells the class and the drawing."""
    ink = np.zeros((105, 105), dtype=bool)
    ink[5 + 8 * number : 10 + 8 * number, 10 : 40 + 15 * drawing] = True
    return ink


def write_folders(root: Path) -> Path:
    """1-bit PNGs, black on white, written in reverse so that creation order is no help."""
    number = 0
    for set_name, alphabets in LAYOUT.items():
        for alphabet in sorted(alphabets):
            for character in range(1, alphabets[alphabet] + 1):
                folder = root / set_name / alphabet / f"character{character:02d}"
                folder.mkdir(parents=True)
                for drawing in reversed(range(DRAWINGS)):
                    image = Image.fromarray(~pattern(number, drawing)).convert("1")
                    image.save(folder / f"{number + 1:04d}_{drawing + 1:02d}.png")
                number += 1
    return root


def zip_folders(source: Path, root: Path) -> Path:
    """The two published zips: members below a folder of the set's name, with folder entries."""
    root.mkdir(parents=True, exist_ok=True)
    for set_name in LAYOUT:
        if (source / set_name).exists():
            with zipfile.ZipFile(root / f"{set_name}.zip", "w") as archive:
                for path in sorted((source / set_name).rglob("*"), reverse=True):
                    archive.write(path, path.relative_to(source).as_posix())
    return root


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return write_folders(tmp_path / "folders")


@pytest.fixture
def zips(tmp_path: Path, folders: Path) -> Path:
    return zip_folders(folders, tmp_path / "zips")


@pytest.fixture
def rezip(tmp_path: Path, folders: Path) -> Callable[[], Path]:
    """Zip the folders again, after the test has spoilt them."""
    return lambda: zip_folders(folders, tmp_path / "spoilt")
