"""Which cluster is meant, and advice about what was really given: an option or a variable."""

from __future__ import annotations

from pathlib import Path

import pytest

import metaray
from metaray.cluster.access import find_access
from metaray.cluster.address import Address
from metaray.cluster.connect import connected
from metaray.cluster.errors import ClusterError
from metaray.cluster.jobs import JobClient

CLOSED = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METARAY_HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def _use(address: str | None) -> None:
    if address is None:
        JobClient(find_access(None).dashboard).jobs()
    else:
        with connected(address, metaray):
            pass


def refusal(address: str | None) -> str:
    """What is said where a run, or with None a command about jobs, cannot reach its cluster."""
    with pytest.raises(ClusterError) as found:
        _use(address)
    said = str(found.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("text", ["10.0.0.5:6379", "ray://h:1", "http://h", "https://[::1]:8265/"])
def test_what_is_an_address(text: str) -> None:
    assert Address(text).text == text


@pytest.mark.parametrize(
    "text",
    ["http://[::1", "host", "h:99999999", "h:port", "ftp://h:1", "http://", "h :1", "a\nb:1", ":1"],
)
def test_what_is_none_is_one_sentence(text: str) -> None:
    with pytest.raises(ClusterError, match="is not a cluster address"):
        find_access(text)
    assert "is not a cluster address" in refusal(text)


def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("http://ada:s3cr3t@h:8265", "ada:s3cr3t@h:6379", "http://s3cr3t@[::1"):
        said = refusal(text)
        assert "s3cr3t" not in said
        assert "--address holds" in said
        monkeypatch.setenv("RAY_ADDRESS", text)
        for said in (refusal(None), refusal("auto")):
            assert "s3cr3t" not in said
            assert "RAY_ADDRESS holds" in said


def test_a_dashboard_cannot_be_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--address = http://h:8265 is the address of a dashboard" in refusal("http://h:8265")
    monkeypatch.setenv("RAY_ADDRESS", "http://h:8265")
    said = refusal("auto")
    assert "RAY_ADDRESS = http://h:8265 is the address of a dashboard" in said
    assert "set RAY_ADDRESS to HOST:PORT" in said
    assert "--address" not in said
    assert "TOKEN" not in said


@pytest.mark.parametrize("text", [CLOSED, f"http://{CLOSED}"])
def test_advice_about_a_variable_names_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", text)
    said = refusal(None)
    assert f"{text} (from RAY_ADDRESS)" in said
    assert "--address" not in said
    assert "TOKEN" not in said


def test_advice_about_an_option_names_that() -> None:
    said = refusal(CLOSED)
    assert f"no Ray cluster answers at {CLOSED} (Connection refused)" in said
    assert "leave out --address" in said
    assert "RAY_ADDRESS" not in said


def test_without_an_address_the_advice_is_not_to_leave_it_out() -> None:
    assert "leave out --address" not in refusal(None)
