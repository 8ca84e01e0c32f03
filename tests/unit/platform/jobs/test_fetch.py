"""A run directory on its way home: whole, unchanged, and within its folder, or not at all."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from metaray.algorithms.atomic import atomic_folder
from metaray.cluster.errors import ClusterError
from metaray.platform.jobs.fetch import Receiver, unpack
from metaray.platform.jobs.send import send


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "a.safetensors").write_bytes(os.urandom(50_000))
    (folder / "empty").write_bytes(b"")
    (folder / ".half.1.tmp").write_text("being written")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def sent(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    send(folder)
    return "Ray's own lines\n" + capsys.readouterr().out


def received(log: str, piece: int, archive: Path) -> Receiver:
    with archive.open("wb") as file:
        receiver = Receiver(file)
        for begin in range(0, len(log), piece):
            receiver.take(log[begin : begin + piece])
        receiver.check()
    return receiver


@pytest.mark.parametrize("piece", [7, 20_000, 10**9])
def test_what_is_sent_arrives(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], piece: int
) -> None:
    archive, new = tmp_path / "a.tar.gz", tmp_path / "new"
    received(sent(run, capsys), piece, archive)
    unpack(archive, new)
    found = {str(path.relative_to(new)) for path in new.rglob("*") if path.is_file()}
    assert found == {"checkpoints/a.safetensors", "empty"}
    for name in found:
        assert (new / name).read_bytes() == (run / name).read_bytes()


def test_what_is_cut_or_changed_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = sent(run, capsys)
    lines = log.splitlines(keepends=True)
    changed = log.replace("metaray-data:H4sI", "metaray-data:H4sJ", 1)
    assert changed != log
    for wrong in (log[:-20], "".join(lines[:2] + lines[3:]), changed, ""):
        with pytest.raises(ClusterError, match="is incomplete"):
            received(wrong, 1000, tmp_path / "a")


def test_a_missing_folder_is_said_by_its_own_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ClusterError, match="has no run directory .*/none yet"):
        received(sent(tmp_path / "none", capsys), 1000, tmp_path / "a")


@pytest.mark.parametrize("kind", ["absolute", "above", "symlink", "hardlink", "device"])
def test_an_archive_that_reaches_elsewhere_is_refused(tmp_path: Path, kind: str) -> None:
    names = {"absolute": str(tmp_path / "evil"), "above": "../evil"}
    member = tarfile.TarInfo(names.get(kind, "evil"))
    member.size = 4 if kind in names else 0
    types = {"symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
    member.type = types.get(kind, tarfile.REGTYPE)
    member.linkname = "/etc/passwd"
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(ClusterError, match="no plain file within it"):
        unpack(archive, tmp_path / "new" / "run")
    assert not list(tmp_path.rglob("evil"))


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "a"

    def cut() -> None:
        with atomic_folder(target) as new:
            (new / "half").write_text("x")
            raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        cut()
    assert list((tmp_path / "runs").iterdir()) == []
    with atomic_folder(target) as new:
        (new / "all").write_text("x")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["all"]
