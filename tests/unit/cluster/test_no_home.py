"""A user without a home directory, or with a read-only one, gets a sentence with the remedy."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import cache_root, user_path
from metaray.algorithms.tasks.catalog import cache_folder
from metaray.cluster.errors import ClusterError
from metaray.cluster.home import ensure_token
from metaray.cluster.local_cluster import changing, running_cluster
from metaray.cluster.private_folder import private_folder, remove_folder
from metaray.cluster.ray_environment import given_token


@pytest.fixture
def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user id has no entry in passwd, and no variable says where things are."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "METARAY_HOME", "METARAY_CACHE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("without_home")
def test_what_needs_no_home_works_without_one() -> None:
    assert running_cluster() is None
    assert given_token() is None
    remove_folder(private_folder())


@pytest.mark.usefixtures("without_home")
def test_what_needs_one_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="set METARAY_HOME"), changing():
        pass
    with pytest.raises(InputError, match="set METARAY_CACHE"):
        cache_folder(DataConfig())
    monkeypatch.setenv("METARAY_HOME", str(tmp_path))
    monkeypatch.setenv("METARAY_CACHE", str(tmp_path))
    with changing():
        assert ensure_token().is_relative_to(tmp_path)
    assert cache_root() == tmp_path


def test_a_home_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("METARAY_HOME", str(tmp_path / "file" / "home"))  # refuses root, too
    with pytest.raises(ClusterError, match="cannot write to .* set METARAY_HOME"), changing():
        pass
    with pytest.raises(ClusterError, match="cannot write to .* set METARAY_HOME"):
        ensure_token()


@pytest.mark.parametrize("text", ["~nobody-of-this-name/x", "a\0b"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(InputError, match="is not a path"):
        user_path(text)
    with pytest.raises(ValueError, match="is not a path"):
        DataConfig(root=text)


@pytest.mark.usefixtures("without_home")
def test_a_tilde_without_a_home() -> None:
    with pytest.raises(InputError, match="this user has no home directory"):
        user_path("~/data")
    assert user_path("data") == Path("data")
    assert os.path.expanduser("~") == "~"
