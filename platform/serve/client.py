"""A client of a served model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from random import random
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.auth import AuthBase
from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.cluster.proxies import avoid_proxies

_BUSY = 503
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0

Picture = str | Path | bytes
"""a path, or the content of an image file"""


class Client:
    """Asks a server that ``metaray serve`` has started, again while it is too busy to answer.

    Example:
        >>> client = Client("http://127.0.0.1:8000", token="...")
        >>> client.register("letters", ["a.png", "b.png"], ["a", "b"])  # doctest: +SKIP
        {'name': 'letters', 'classes': {'a': 1, 'b': 1}, 'version': '...', 'notes': []}
        >>> client.predict("letters", ["scan.png"])  # doctest: +SKIP
        [{'file': 'scan.png', 'prediction': {'label': 'a', ...}, 'error': None}]
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = 60.0) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        avoid_proxies(urlsplit(self._url).hostname)
        self._session = requests.Session()
        self._session.auth = _Bearer(token)

    def model(self) -> dict[str, Any]:
        """What is served."""
        found: dict[str, Any] = self._ask("GET", "/model")
        return found

    def tasks(self) -> list[str]:
        """The names of all tasks."""
        found: list[str] = self._ask("GET", "/tasks")
        return found

    def task(self, name: str) -> dict[str, Any]:
        """A task: its name, classes with their number of pictures, version, and notes."""
        found: dict[str, Any] = self._ask("GET", _task(name))
        return found

    def register(
        self, name: str | None, pictures: Iterable[Picture], labels: Sequence[str]
    ) -> dict[str, Any]:
        """A new task; ``name`` None: the server makes one up."""
        data: list[tuple[str, str]] = [("labels", label) for label in labels]
        data += [] if name is None else [("name", name)]
        found: dict[str, Any] = self._ask("POST", "/tasks", data=data, files=_files(pictures))
        return found

    def add(self, name: str, pictures: Iterable[Picture], labels: Sequence[str]) -> dict[str, Any]:
        """Further support pictures for a task."""
        data = [("labels", label) for label in labels]
        where = f"{_task(name)}/pictures"
        found: dict[str, Any] = self._ask("POST", where, data=data, files=_files(pictures))
        return found

    def predict(
        self, name: str, pictures: Iterable[Picture], *, reject: bool = False
    ) -> list[dict[str, Any]]:
        """What is predicted for each picture, with ``error`` where it cannot be read."""
        where = f"{_task(name)}/predict?reject={str(reject).lower()}"
        found = self._ask("POST", where, files=_files(pictures))
        predictions: list[dict[str, Any]] = found["predictions"]
        return predictions

    def delete(self, name: str) -> None:
        """Forget a task."""
        self._ask("DELETE", _task(name))

    def _ask(self, method: str, where: str, **parts: Any) -> Any:
        """The content of an answer.

        Raises:
            InputError: the server does not answer, or refuses; it says why.
        """
        answer = self._answer(method, where, **parts)
        if answer.ok:
            return answer.json() if answer.content else None
        if answer.status_code == _BUSY:
            raise InputError(
                f"{self._url} has too many requests to answer one more within "
                f"{self._timeout_s:g} s: try again later, or start it with more --replicas"
            )
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = answer.text[:200]
        raise InputError(f"{self._url} refuses ({answer.status_code}): {detail}")

    def _answer(self, method: str, where: str, **parts: Any) -> requests.Response:
        """The first answer of a server that is not too busy, or the last of one that is."""
        deadline, pause_s = monotonic() + self._timeout_s, _FIRST_PAUSE_S
        while True:
            try:
                answer = self._session.request(
                    method, f"{self._url}{where}", timeout=self._timeout_s, **parts
                )
            except requests.RequestException as error:
                raise InputError(
                    f"{self._url} does not answer ({type(error).__name__}): start it with metaray "
                    "serve, and check address and port"
                ) from None
            if answer.status_code != _BUSY or monotonic() + pause_s > deadline:
                return answer
            sleep(pause_s * random())
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


class _Bearer(AuthBase):
    """The token, or nothing; without it, requests would take a password from ``.netrc``."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _task(name: str) -> str:
    """The path of a task; any character may be in its name."""
    if not name.strip("."):
        raise InputError(f"{name!r} is no name of a task: it begins with a letter or digit")
    return f"/tasks/{quote(name, safe='')}"


def _files(pictures: Iterable[Picture]) -> list[tuple[str, tuple[str, bytes]]]:
    found: list[tuple[str, tuple[str, bytes]]] = []
    for number, picture in enumerate(pictures, 1):
        if isinstance(picture, bytes):
            found.append(("pictures", (f"picture {number}", picture)))
            continue
        path = Path(picture).expanduser()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {path} ({error.strerror}): check the path") from error
        found.append(("pictures", (path.name, content)))
    return found
