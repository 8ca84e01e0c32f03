"""Starting and ending a server."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError, write_error
from metaray.platform.common.errors import RayEndedError, first_line
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
_END_S = 30.0
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def check_place(host: str, port: int, token: bool) -> None:
    """Raise InputError where a server cannot listen, or should not."""
    if host not in _LOOPBACK and not token:
        raise InputError(
            f"--no-token on {host} lets everyone who reaches it use the server: leave out "
            "--no-token, or listen on 127.0.0.1"
        )
    _check_free(host, port, "--port", "give another --port or --host")


def check_metrics(metrics_port: int | None, port: int, address: str) -> None:
    """Raise InputError where metrics cannot be served on a port of their own."""
    if metrics_port is None:
        return
    if address != "local":
        raise InputError(
            "--metrics-port has no effect on a cluster, whose nodes have their own pages of "
            "metrics: leave it out, and see metaray cluster monitoring"
        )
    if metrics_port == port:
        raise InputError(f"--metrics-port and --port are both {port}: give two")
    _check_free("127.0.0.1", metrics_port, "--metrics-port", "give another one")


def _check_free(host: str, port: int, option: str, remedy: str) -> None:
    if not 1 <= port <= 65535:
        raise InputError(f"{option} {port} is no port: give one from 1 to 65535")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {host}:{port} ({error.strerror}): {remedy}"
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
        _end_controller()
        serve.shutdown()


def _end_controller() -> None:
    """What ``serve.shutdown`` does first, by a call that returns.

    That call is lost with the controller, and Ray prints a line about it on the terminal.
    """
    import ray
    from ray.exceptions import RayError
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

    from metaray.platform.distributed.ray_alive import check_ray_now

    deadline = monotonic() + _END_S
    with suppress(RayEndedError, RayError, ValueError):  # Ray or the controller has ended
        if not check_ray_now():
            return
        controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
        ray.get(controller.graceful_shutdown.remote(wait=False), timeout=_END_S)
        while monotonic() < deadline:
            ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
            sleep(0.1)
