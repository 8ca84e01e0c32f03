"""A hub on loopback: what ``huggingface_hub`` asks to store and give files of a repository."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


class Hub:
    """The files by repository."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.tokens: set[str | None] = set()
        self.url = ""


@contextmanager
def hub() -> Iterator[Hub]:
    """One that answers until the block ends."""
    made = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.tokens.add(self.headers["Authorization"])
            body = self.rfile.read(int(self.headers["Content-Length"]))
            path = urlsplit(self.path).path
            if path == "/api/repos/create":
                asked = json.loads(body)
                repo = f"{asked.get('organization', 'me')}/{asked['name']}"
                made.repos.setdefault(repo, {})
                made.private[repo] = asked.get("visibility") == "private"
                self._answer({"url": f"{made.url}/{repo}"})
            elif path == "/api/validate-yaml":
                self._answer({"errors": [], "warnings": []})
            elif "/preupload/" in path:
                asked = [one["path"] for one in json.loads(body)["files"]]
                modes = {"uploadMode": "regular", "shouldIgnore": False}
                self._answer({"files": [{"path": name, **modes} for name in asked]})
            elif "/commit/" in path:
                repo = "/".join(path.split("/")[3:5])
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        content = base64.b64decode(line["value"]["content"])
                        made.repos[repo][line["value"]["path"]] = content
                commit = f"{made.url}/{repo}/commit/{COMMIT}"
                self._answer({"commitUrl": commit, "commitOid": COMMIT})
            else:
                self._answer({"error": path}, 404)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            parts = path.split("/")
            if path.startswith("/api/models/"):
                repo = "/".join(parts[3:5])
                if repo not in made.repos:
                    self.send_response(404)
                    self.send_header("X-Error-Code", "RepoNotFound")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if "tree" in parts:
                    self._answer([
                        {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                        for name, content in made.repos[repo].items()
                    ])  # fmt: skip
                    return
                files = [{"rfilename": name} for name in made.repos[repo]]
                self._answer({"id": repo, "sha": COMMIT, "siblings": files, "private": True})
            else:  # /user/name/resolve/COMMIT/file
                content = made.repos["/".join(parts[1:3])]["/".join(parts[5:])]
                self._send(content, "application/octet-stream")

        do_HEAD = do_GET

        def _answer(self, content: Any, status: int = 200) -> None:
            self._send(json.dumps(content).encode(), "application/json", status)

        def _send(self, content: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
