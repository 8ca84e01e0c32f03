"""The size of what a file holds is checked before memory is taken for it."""

from __future__ import annotations

import io
import pickle
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.cifar100 import CifarFS
from metaray.algorithms.tasks.cub import Cub
from metaray.algorithms.tasks.dataset import ImageDataset
from metaray.algorithms.tasks.file_tree import FolderTree, TarTree, ZipTree
from metaray.algorithms.tasks.folder import Folder
from metaray.algorithms.tasks.limits import ReadLimits
from metaray.algorithms.tasks.npz import Arrays

MB = 2**20


def load(dataset: ImageDataset, root: Path, scratch: Path) -> None:
    with dataset.open_classes(root, DataConfig(image_size=8), scratch) as classes:
        for item in classes:
            item.load()


def zip_of_zeros(path: Path, megabytes: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(megabytes * MB))
    return path


def test_zeros_in_a_zip_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METARAY_MAX_FILE_MB", "16")
    path = zip_of_zeros(tmp_path / "set.zip", 17)
    assert path.stat().st_size < MB
    tracemalloc.start()
    with pytest.raises(InputError, match="a/1.png in .*set.zip takes 17 MB .* METARAY_MAX_FILE_MB"):
        load(Folder(), path, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MB


def test_a_huge_image_is_not_decoded(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    Image.new("1", (13_000, 13_000)).save(folder / "1.png")
    with pytest.raises(
        InputError, match=r"13,000 x 13,000 pixels, more than the 64 million .* 169$"
    ):
        load(Folder(), tmp_path, tmp_path)


def test_limits_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    Image.new("L", (2_000, 1_000)).save(tmp_path / "a" / "1.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow's own, which must not matter
    load(Folder(), tmp_path, tmp_path)
    assert Image.MAX_IMAGE_PIXELS == 10
    monkeypatch.setenv("METARAY_MAX_MEGAPIXELS", "1.5")
    with pytest.raises(InputError, match="set METARAY_MAX_MEGAPIXELS to 2"):
        load(Folder(), tmp_path, tmp_path)
    for text in ("0", "-1", "many", "inf", "nan"):
        monkeypatch.setenv("METARAY_MAX_MEGAPIXELS", text)
        with pytest.raises(
            InputError, match=f"METARAY_MAX_MEGAPIXELS = '{text}' is not a positive"
        ):
            ReadLimits.from_environment()


def test_limits_travel_with_what_they_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker on another machine does not have the variables of the command."""
    path = zip_of_zeros(tmp_path / "set.zip", 1)
    monkeypatch.setenv("METARAY_MAX_FILE_MB", "0.5")
    tree = pickle.dumps(ZipTree(path))
    monkeypatch.delenv("METARAY_MAX_FILE_MB")
    with pytest.raises(InputError, match="more than the 0.5 MB"):
        pickle.loads(tree).read("a/1.png")


def test_every_other_reader_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = tmp_path / "zeros"
    zeros.write_bytes(bytes(MB))
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(zeros, "set/zeros")
    with tarfile.open(tmp_path / "CUB_200_2011.tgz", "w:gz") as tar:
        tar.add(zeros, "CUB_200_2011/zeros")
    with tarfile.open(tmp_path / "cifar-100-python.tar.gz", "w:gz") as tar:
        for part in ("train", "test", "meta"):
            tar.add(zeros, f"cifar-100-python/{part}")
    np.savez_compressed(
        tmp_path / "x.npz", images=np.zeros((4, 512, 512), np.uint8), labels=[0] * 4
    )
    monkeypatch.setenv("METARAY_MAX_FILE_MB", "0.5")
    monkeypatch.setenv("METARAY_MAX_UNPACKED_MB", "0.5")
    with pytest.raises(InputError, match="takes 1 MB"):
        FolderTree(tmp_path).read("zeros")
    with pytest.raises(InputError, match="zeros in .*set.tar takes 1 MB"):
        TarTree(tmp_path / "set.tar", "set").read("zeros")
    with pytest.raises(InputError, match=r"the content of .*tgz takes \d MB.*MAX_UNPACKED_MB"):
        load(Cub(), tmp_path / "CUB_200_2011.tgz", tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())
    with pytest.raises(InputError, match="train in .*gz takes 1 MB"):
        load(CifarFS(), tmp_path / "cifar-100-python.tar.gz", tmp_path)
    with pytest.raises(InputError, match=r"images in .*npz takes 2 MB.*MAX_UNPACKED_MB to 2"):
        load(Arrays(), tmp_path / "x.npz", tmp_path)


def test_an_image_within_the_limits_is_as_before(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(file, "PNG")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(file.getvalue())
    with Folder().open_classes(tmp_path, DataConfig(image_size=8), tmp_path) as classes:
        assert (classes[0].load().images[0, 0].ravel() == np.arange(64)).all()
