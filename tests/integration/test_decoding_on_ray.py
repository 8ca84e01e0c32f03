"""A large data set decoded by several processes: the same file, errors as in one."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import Command  # type: ignore[attr-defined]
from PIL import Image
from shared_ray import RAY

pytestmark = pytest.mark.ray

NUM_CLASSES, PER_CLASS = 52, 100  # more than are prepared in one go


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of many small images."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    path = folder / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for c in range(NUM_CLASSES):
            for i in range(PER_CLASS):
                name = folder / "image.bmp"
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(name)
                archive.write(name, f"class{c:02d}/{i:03d}.bmp")
    return path


def test_a_damaged_image_is_one_sentence_and_the_rest_is_kept(
    metaray: Command, archive: Path, tmp_path: Path
) -> None:
    """On the Ray that this process uses already."""
    RAY.begin()
    spoilt = tmp_path / "spoilt.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(spoilt, "w") as target:
        for name in source.namelist():
            bad = name == "class51/007.bmp"
            target.writestr(name, b"BM" if bad else source.read(name))
    options = ["--image-size", "8", "--cache", tmp_path / "cache", "--workers", "2"]
    result = metaray("data", "prepare", "folder", "--root", spoilt, *options)
    assert result.returncode == 2
    assert "class51/007.bmp of class class51 is not an image" in result.stderr
    assert "Traceback" not in result.stderr
    (parts,) = (tmp_path / "cache").glob(".*.parts")
    assert len(list(parts.glob("*.arrow"))) >= 8  # of eleven


def test_on_ray_and_in_one_process_is_the_same(
    metaray: Command, archive: Path, tmp_path: Path
) -> None:
    """On a Ray that the command starts for itself."""
    RAY.end()
    hashes = []
    for workers in (0, 2):
        cache = tmp_path / f"cache{workers}"
        result = metaray(
            "data", "prepare", "folder", "--root", archive, "--image-size", "8",
            "--cache", cache, "--workers", workers,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert f"{NUM_CLASSES} of {NUM_CLASSES} classes" in result.stderr
        hashes.append(result.stdout.splitlines()[1])
        assert [p.suffix for p in cache.iterdir() if p.name != ".identities"] == [
            ".arrow"
        ]  # no parts are left
    assert hashes[0].startswith("sha256")
    assert hashes[0] == hashes[1]
