"""A start that fails leaves nothing that would stand in the way of the next one."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metaray.algorithms.errors import DiskError, InputError
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.run.base_directory import BaseDirectory
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.summary import read_summary
from metaray.platform.run.sweep_directory import SweepDirectory


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A limit on the size of files stands for a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", [0, 300], ids=["no room for the lock", "none for what follows"])
def test_after_a_full_disk_the_same_folder_is_taken(
    room: int, tiny: list[str], tmp_path: Path
) -> None:
    config, out = META.load(None, tiny), tmp_path / "run"
    META.prepare(config, "local")  # the data are there before
    with files_of_at_most(room), pytest.raises(DiskError, match="File too large"):
        runner.new(config, out, "local")
    runner.new(config, out, "local")
    assert read_summary(RunDirectory(out)) is not None


def begin(folder: BaseDirectory, *files: str) -> None:
    """Write ``files``, then fail."""
    with folder.beginning():
        for name in files:
            (folder.path / name).write_text("{}")
        raise OSError(errno.ENOSPC, "the disk is full")


@pytest.mark.parametrize("kind", [RunDirectory, SweepDirectory, CompareDirectory])
def test_what_a_start_has_written_goes_with_it(kind: type[BaseDirectory], tmp_path: Path) -> None:
    folder = kind.create(tmp_path / "out")
    with pytest.raises(OSError, match="full"):
        begin(folder, "data.json", f"{kind.FOLDERS[0]}/first")
    assert not folder.path.exists()


def test_what_has_begun_is_kept_and_files_of_others_too(tmp_path: Path) -> None:
    folder = RunDirectory.create(tmp_path / "run")
    with pytest.raises(OSError, match="full"):
        begin(folder, RunDirectory.MARKER)
    assert folder.config.is_file()
    (tmp_path / "mine" / "plots").mkdir(parents=True)
    (tmp_path / "mine" / "plots" / "first.png").write_bytes(b"")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        RunDirectory.check_free(tmp_path / "mine")
