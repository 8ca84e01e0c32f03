"""Starting and ending a server."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError, write_error
from metaray.platform.common.errors import first_line
from metaray.platform.inference.learner import Learner
from metaray.platform.inference.saved import save_learner
from metaray.platform.inference.state_bytes import to_bytes
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


def check_place(host: str, port: int, token: bool) -> None:
    """Raise InputError where a server cannot listen, or should not."""
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


def model_in(path: Path, learner: Learner) -> Path:
    """Where the replicas of a server find ``learner``: in its folder, which is made if need be.

    Raises:
        InputError: the folder has the tasks of another model, or cannot be written.
    """
    weights = to_bytes(learner.tensors)
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark, digest = path / "weights.sha256", sha256(weights).hexdigest()
        if mark.is_file() and mark.read_text(encoding="ascii").strip() != digest:
            raise InputError(
                f"{path} holds the tasks of another model: choose another folder with --state"
            )
        write_text(mark, digest + "\n")
    except OSError as error:
        raise write_error(f"the folder {path}", error, "choose another --state") from error
    # with the calibration of today, which a new test may have changed
    spec = repr(learner.spec).encode()
    model = path / "models" / sha256(weights + spec).hexdigest()[:16]
    if not (model / SavedModelDirectory.MARKER).is_file():
        save_learner(learner, model)
    return model


def url_of(host: str, port: int) -> str:
    """The address of a server for clients."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def served(
    model: Path,
    state: Path,
    token: str | None,
    host: str,
    port: int,
    replicas: int,
    limits: ServeLimits,
) -> Iterator[None]:
    """A server for the time of the block, on the Ray that this process is connected to.

    Raises:
        InputError: there is no room, Ray Serve runs there already, or the server did not start.
    """
    import ray
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.config import HTTPOptions

    from metaray.platform.serve.deployment import application

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    if running := list(serve.status().applications):
        raise InputError(
            f"Ray Serve runs on this cluster already ({', '.join(running)}), with an address and "
            "port that cannot be changed: end it first, or leave out --address"
        )
    free = ray.available_resources().get("CPU", 0.0)
    if replicas > free:
        raise InputError(
            f"{replicas} replicas need a CPU each, and {free:g} are free: lower --replicas, or "
            "use another --address"
        )
    try:
        try:
            serve.start(http_options=HTTPOptions(host=host, port=port, location="HeadOnly"))
            bound = application(model, state, limits, token, replicas)
            serve.run(bound, name=APPLICATION, route_prefix="/")
        except (RuntimeError, RayError, TimeoutError) as error:
            raise InputError(
                f"the server did not start ({first_line(error)}): look for lack of memory, or try "
                "again when the machine is less busy"
            ) from error
        yield
    finally:
        serve.shutdown()
