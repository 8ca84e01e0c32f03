"""Starting and ending a server."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metaray.algorithms.errors import InputError
from metaray.platform.common.errors import first_line
from metaray.platform.inference.learner import Learner
from metaray.platform.inference.saved import save_learner
from metaray.platform.run.saved_model_directory import SavedModelDirectory
from metaray.platform.serve.limits import ServeLimits

APPLICATION = "metaray"
PATIENT = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}
"""for the processes of an embedded Ray: on a busy machine the proxy needs more than Ray's 5 seconds
to start, and would be ended and started again and again"""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def check_place(host: str, port: int, replicas: int, token: bool) -> None:
    """Raise InputError where a server cannot listen, or should not."""
    if replicas < 1:
        raise InputError(f"--replicas {replicas} answer nothing: give 1 or more")
    if not 1 <= port <= 65535:
        raise InputError(f"--port {port} is no port: give one from 1 to 65535")
    if host not in _LOOPBACK and not token:
        raise InputError(
            f"--no-token on {host} lets everyone who reaches it use the server: leave out "
            "--no-token, or listen on 127.0.0.1"
        )
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {host}:{port} ({error.strerror}): give another --port or --host"
            ) from error


def state_folder(path: Path, learner: Learner) -> Path:
    """The folder of a server, made if need be: its model, its tasks and its token.

    Raises:
        InputError: it belongs to another model, or cannot be written.
    """
    model = path / "model"
    digest = str(learner.spec.origin.get("params_sha256"))
    if (model / SavedModelDirectory.MARKER).is_file():
        from metaray.platform.inference.saved import load_saved

        before = load_saved(model)
        own = before.spec.origin if isinstance(before, Learner) else {}
        if str(own.get("params_sha256")) != digest:
            raise InputError(
                f"{path} holds the tasks of another model: choose another folder with --state"
            )
        return path
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InputError(f"cannot create {path} ({error.strerror}): choose another --state") from (
            error
        )
    save_learner(learner, model)
    return path


def token_in(path: Path) -> str:
    """The token of the server in a folder: the one that it had, or a new one."""
    file = path / "token"
    if file.is_file() and (found := file.read_text(encoding="ascii").strip()):
        return found
    token = secrets.token_urlsafe(32)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(token + "\n")
    return token


@contextmanager
def served(
    state: Path, token: str | None, host: str, port: int, replicas: int, limits: ServeLimits
) -> Iterator[None]:
    """A server for the time of the block, on the Ray that this process is connected to.

    Raises:
        InputError: it did not start; why, as Ray Serve says it.
    """
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.config import HTTPOptions

    from metaray.platform.serve.deployment import application

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        try:
            serve.start(http_options=HTTPOptions(host=host, port=port, location="HeadOnly"))
            bound = application(state / "model", state, limits, token, replicas)
            serve.run(bound, name=APPLICATION, route_prefix="/")
        except (RuntimeError, RayError) as error:
            raise InputError(
                f"the server did not start ({first_line(error)}): look for lack of memory or of "
                "CPUs (one for each replica), lower --replicas, or try again when the machine is "
                "less busy"
            ) from error
        yield
    finally:
        serve.shutdown()
