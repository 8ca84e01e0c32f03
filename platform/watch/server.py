"""The view as a page on this machine's loopback. Anyone with this URL can view the run.

The address holds a random token, since other users of the machine reach the loopback too; and a
page of another site that a browser shows cannot, as its host is not ours.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.report.page_writer import render
from metaray.platform.watch.reader import RunReader, SweepReader

_HOST = "127.0.0.1"
_POLICY = (
    "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@contextmanager
def serving(reader: RunReader | SweepReader, port: int) -> Iterator[str]:
    """The address of the page, which is served for the time of the block.

    Args:
        reader: what is shown.
        port: 0 takes any that is free.

    Raises:
        InputError: the port is in use.
    """
    try:
        server = _Server(reader, port)
    except OSError as error:
        raise InputError(
            f"cannot serve on port {port} ({error.strerror}): choose another with --port"
        ) from error
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, reader: RunReader | SweepReader, port: int) -> None:
        super().__init__((_HOST, port), _Handler)
        self._reader = reader
        self._reading = Lock()
        self.hosts = {f"{name}:{self.server_port}" for name in (_HOST, "localhost")}
        self.root = f"/{secrets.token_urlsafe(24)}/"

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{_HOST}:{self.server_port}{self.root}"

    def data(self) -> dict[str, Any]:
        """Where the run stands."""
        with self._reading:
            return asdict(self._reader.read())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "metaray"
    sys_version = ""

    def do_GET(self) -> None:
        """The page, or its data."""
        if self.headers.get("Host") not in self.server.hosts:
            self._answer(403, "text/plain", "not this host\n")
        elif self._asks_for(self.server.root):
            nonce = secrets.token_urlsafe(16)
            self._answer(200, "text/html", _page(nonce), _POLICY.format(nonce))
        elif self._asks_for(f"{self.server.root}data.json"):
            self._answer(200, "application/json", json.dumps(self.server.data()))
        else:
            self._answer(404, "text/plain", "no such page\n")

    def _asks_for(self, path: str) -> bool:
        return secrets.compare_digest(self.path.encode(), path.encode())

    def _answer(self, code: int, kind: str, text: str, policy: str = "default-src 'none'") -> None:
        body = text.encode()
        self.send_response(code)
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the address holds the token."""


def _page(nonce: str) -> str:
    return render(__package__ or "", "watch.html.jinja", nonce=nonce)
