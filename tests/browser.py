"""A headless Chromium that a test steers over its DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--no-first-run", "--no-proxy-server", "--remote-debugging-port=0", "--window-size=1100,1500",
)  # fmt: skip


class Page:
    """A page that is open."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._connection.recv(timeout=60))
            if answer.get("method") == "Page.javascriptDialogOpening":
                accept = {"id": next(self._numbers), "method": "Page.handleJavaScriptDialog"}
                self._connection.send(json.dumps(accept | {"params": {"accept": True}}))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def value(self, script: str) -> Any:
        """Of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, script: str, within_s: float = 30.0) -> None:
        """Until a JavaScript expression is true."""
        deadline = monotonic() + within_s
        while not self.value(script):
            assert monotonic() < deadline, (script, self.value("document.body.innerText"))
            sleep(0.05)

    def write(self, selector: str, text: str) -> None:
        self.value(f"document.querySelector({selector!r}).value = {text!r}")

    def click(self, selector: str) -> None:
        self.value(f"setTimeout(() => document.querySelector({selector!r}).click())")

    def give(self, selector: str, files: Sequence[Path]) -> None:
        """Choose files in an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def screenshot(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def opened(url: str, profile: Path) -> Iterator[Page]:
    """``url`` in a new browser, whose files are in ``profile``."""
    assert PROGRAM is not None
    with subprocess.Popen(
        [PROGRAM, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            port = _port(profile)
            pages = requests.get(f"http://127.0.0.1:{port}/json", timeout=30).json()
            address = next(one for one in pages if one["type"] == "page")["webSocketDebuggerUrl"]
            with connect(address, max_size=None, proxy=None) as connection:
                page = Page(connection)
                for domain in ("Page", "Runtime", "DOM"):
                    page.call(f"{domain}.enable")
                page.call("Page.navigate", url=url)
                page.wait_for("document.readyState === 'complete'")
                yield page
        finally:
            process.kill()


def _port(profile: Path) -> int:
    """Where the browser listens, which it writes to a file."""
    file, deadline = profile / "DevToolsActivePort", monotonic() + 60
    while not (file.is_file() and file.read_text().strip()):
        assert monotonic() < deadline, "the browser does not start"
        sleep(0.05)
    return int(file.read_text().split()[0])
