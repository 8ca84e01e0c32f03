"""Where a Ray has its sockets: a short path that no other user can enter or exchange."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from metaray.cluster import private_folder as module
from metaray.cluster.errors import ClusterError
from metaray.cluster.private_folder import private_folder, remove_folder


@pytest.fixture
def short() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    yield folder
    remove_folder(folder)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)


def chosen() -> Path:
    folder = private_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    remove_folder(folder)
    assert not folder.exists()
    return folder.parent


def test_a_short_folder_that_is_named_is_taken(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    assert chosen() == short


def test_a_long_folder_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    assert chosen() == Path("/tmp")


def test_nor_one_in_which_others_could_exchange_it(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    short.chmod(0o777)
    assert chosen() == Path("/tmp")
    short.chmod(0o1777)
    assert chosen() == short


def test_nor_one_of_another_user(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    owner = short.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    if owner:
        assert chosen() == Path("/tmp")
    else:  # root is no other user
        assert chosen() == short


def test_no_place_at_all_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_places", lambda: iter(["/" + "x" * 99, "/nowhere", "/zero\0"]))
    with pytest.raises(ClusterError, match="set RAY_TMPDIR to a folder") as found:
        private_folder()
    assert "No such file" in str(found.value)
    assert "\n" not in str(found.value)
