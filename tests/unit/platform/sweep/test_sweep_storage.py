"""Where a study may be, what is said of a place that is none, and that no password is."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep.plan import make_plan
from metaray.platform.sweep.storage import check_not_shown, open_storage, shown
from metaray.platform.sweep.study import load_study, new_study

SECRET = "s3cr3t"


def complaint(url: str, folder: Path) -> str:
    with pytest.raises(InputError) as error:
        open_storage(url, SweepDirectory(folder))
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None
    return str(error.value)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"postgresql://me:{SECRET}@host/db", "postgresql://me:***@host/db"),
        (f"mysql://me:{SECRET}@host:33/db?ssl=1", "mysql://me:***@host:33/db"),
        (f"postgresql://me@host/db?password={SECRET}", "postgresql://me@host/db"),
        ("sqlite:////tmp/study.db", "sqlite:////tmp/study.db"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, expected: str) -> None:
    assert shown(url) == expected


@pytest.mark.parametrize("url", ["somewhere", f"postgresql://me:a@{SECRET}@h/d",
                                 f"postgresql://me:x@h:{SECRET}/d"])  # fmt: skip
def test_what_is_no_url_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    assert "--storage takes a URL such as postgresql://user:password@host" in complaint(
        url, tmp_path
    )


@pytest.mark.parametrize(
    ("kind", "driver"), [("postgresql", "psycopg"), ("mysql", "pymysql"), ("oracle", "cx_Oracle")]
)
def test_a_missing_driver_is_named_with_what_brings_it(
    kind: str, driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    said = complaint(f"{kind}://me:{SECRET}@host/db", tmp_path)
    assert f"the driver for the storage {kind}://me:***@host/db is not installed" in said
    assert (f"pip install 'metaray[{kind}]'" in said) is (kind != "oracle")


@pytest.mark.parametrize(("kind", "driver"), [("postgresql", "psycopg"), ("mysql", "pymysql")])
def test_a_server_that_does_not_answer_is_one_sentence(
    kind: str, driver: str, closed_port: int, tmp_path: Path
) -> None:
    pytest.importorskip(driver)
    said = complaint(f"{kind}://me:{SECRET}@127.0.0.1:{closed_port}/db", tmp_path)
    assert said.startswith(f"cannot use the storage {kind}://me:***@127.0.0.1:{closed_port}/db (")
    assert "refused" in said
    assert "\n" not in said


def test_a_kind_of_storage_that_is_not_known_is_refused(tmp_path: Path) -> None:
    assert "of no known kind: use postgresql://" in complaint(f"no://me:{SECRET}@h/d", tmp_path)


def test_a_password_is_no_argument_of_a_sweep_on_a_cluster() -> None:
    url = f"postgresql://me:{SECRET}@host/db"
    with pytest.raises(InputError, match="METARAY_STORAGE"):
        check_not_shown(url, "10.0.0.5:6379", ["metaray", "sweep", f"--storage={url}"])
    check_not_shown(url, "10.0.0.5:6379", ["metaray", "sweep"])
    check_not_shown(url, "local", ["metaray", "sweep", "--storage", url])
    check_not_shown("postgresql://me@host/db", "auto", ["--storage", "postgresql://me@host/db"])


def test_a_start_that_fails_leaves_no_study_in_a_database(tmp_path: Path) -> None:
    plan = make_plan({}, study_name="sweep")
    folder, url = SweepDirectory.create(tmp_path / "sweep"), f"sqlite:///{tmp_path / 'team.db'}"
    with pytest.raises(OSError, match="full"), new_study(plan, folder, url):
        raise OSError("the disk is full")
    with new_study(plan, folder, url) as study:
        assert study.study_name == plan.study_name
    with pytest.raises(InputError, match="has a study named"), new_study(plan, folder, url):
        pass
    assert load_study(plan.model_copy(update={"storage": shown(url)}), folder, url).trials == []
