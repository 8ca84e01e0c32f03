"""Nothing that is sent to this machine goes through a proxy, least of all a token."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.request import build_opener

import pytest
import requests
from typing_extensions import override

from metaray.cluster.dashboard import Dashboard
from metaray.cluster.jobs import JobClient
from metaray.cluster.proxies import avoid_proxies

VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@contextmanager
def server(answers: dict[str, object]) -> Iterator[tuple[int, list[str]]]:
    """Its port on 127.0.0.1, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = self.path in answers
            self.send_response(200 if found else 502)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        thread = Thread(target=one.serve_forever)
        thread.start()
        try:
            yield one.server_address[1], asked
        finally:
            one.shutdown()
            thread.join()


@pytest.fixture
def proxied() -> Iterator[list[str]]:
    """The environment has a proxy and no exceptions; what the proxy was asked for."""
    with pytest.MonkeyPatch.context() as patch, server({}) as (port, asked):
        for name in ("no_proxy", "NO_PROXY"):
            patch.setenv(name, "")
        for name in VARIABLES:
            patch.setenv(name, f"http://127.0.0.1:{port}")
        yield asked


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1"])
def test_a_dashboard_on_this_machine_is_asked_directly(proxied: list[str], host: str) -> None:
    version = {"ray_version": "2.60.0", "version": "4", "ray_commit": ""}
    answers = {"/api/version": version, "/api/jobs/": []}
    with server(answers) as (port, asked):
        url = f"http://{host}:{port}"
        dashboard = Dashboard(url, "s3cr3t")
        assert dashboard.unfinished_jobs() == []
        assert JobClient(dashboard).jobs() == []
    assert set(asked) == set(answers)
    assert proxied == []


def test_every_library_asks_all_of_loopback_directly(proxied: list[str]) -> None:
    avoid_proxies()
    for host in ("127.0.0.1", "localhost", "[::1]"):
        url = f"http://{host}:1/"  # where nothing answers
        with pytest.raises(OSError, match="refused"):
            build_opener().open(url, timeout=5)
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
    assert proxied == []


def test_other_hosts_are_asked_as_before(
    proxied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "one.example.org, two.example.org")
    avoid_proxies("192.0.2.7")
    avoid_proxies("192.0.2.7")
    names = os.environ["no_proxy"].split(",")
    assert names[:2] == ["one.example.org", "two.example.org"]
    assert len(names) == len(set(names))
    assert "192.0.2.7" not in names
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    with pytest.raises(OSError, match="502"):
        build_opener().open("http://192.0.2.7/", timeout=5)
    assert proxied == ["http://192.0.2.7/"]


@pytest.mark.parametrize("name", VARIABLES)
def test_any_one_variable_is_enough(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (*VARIABLES, "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(each, "")
        monkeypatch.delenv(each)
    avoid_proxies()
    assert "no_proxy" not in os.environ
    monkeypatch.setenv(name, "http://proxy.example.org:3128")
    avoid_proxies()
    assert "127.0.0.1" in os.environ["no_proxy"].split(",")
