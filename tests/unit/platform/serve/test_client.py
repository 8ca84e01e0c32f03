"""What a client does when a server is too busy."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from small_servers import TOKEN, picture

import metaray as mr
from metaray.algorithms.errors import InputError


@contextmanager
def busy_server(refusals: float) -> Iterator[tuple[str, list[bytes]]]:
    """Refuses as Ray Serve does when its queue is full, then answers; and the bodies it got."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(503 if len(bodies) <= refusals else 200)
            content = b'{"predictions": []}'
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_busy_server_is_asked_again() -> None:
    with busy_server(2) as (url, bodies):
        assert mr.Client(url, TOKEN).predict("letters", [picture(0)]) == []
    assert len(bodies) == 3
    assert all(picture(0) in body for body in bodies)


def test_a_server_that_stays_busy_is_said() -> None:
    with (
        busy_server(math.inf) as (url, _),
        pytest.raises(InputError, match=r"too many requests .* within 0.5 s: try again later"),
    ):
        mr.Client(url, TOKEN, timeout_s=0.5).predict("letters", [picture(0)])
