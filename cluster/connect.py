"""Starting an embedded Ray, or joining a running one.

Ray reads its authentication mode when it is imported, so this module imports it only once the
mode is set. Import all else that needs Ray inside the ``connected`` block.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import Any

from metaray.cluster.access import enter_local_cluster
from metaray.cluster.address import LOCAL_CLUSTER, RAY_START, Address, address_in_environment
from metaray.cluster.embedded_ray import without_helpers
from metaray.cluster.errors import ClusterError
from metaray.cluster.private_folder import private_folder, remove_folder
from metaray.cluster.proxies import avoid_proxies
from metaray.cluster.ray_environment import (
    LOOPBACK_NODE,
    NO_TASK_HISTORY,
    check_reachable,
    patient,
    prepare,
    started_here,
)
from metaray.cluster.versions import mismatch

_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_LEAST_TRIES = 2
_IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # which Ray sets for the driver of a job


@contextmanager
def connected(
    address: str,
    package: ModuleType,
    files: Sequence[Path] = (),
    start_s: float = 120.0,
    metrics_port: int | None = None,
) -> Iterator[None]:
    """A Ray connection for the time of the block.

    Args:
        address: ``local`` starts a Ray of this process's own, which ends with the block; ``auto``
            joins the one that $RAY_ADDRESS names, or the one of ``metaray cluster up``, or the one
            that ``ray start`` began on this machine;
            ``HOST:PORT`` or ``ray://HOST:PORT`` joins that one; ``current`` uses the one that this
            process is a part of already, and leaves it as it is, or joins the one whose job it is.
        package: what workers of a joined cluster need to import; it is shipped to them.
        files: modules that workers need to import too.
        start_s: how long an embedded Ray may take to start; it is tried at least twice.
        metrics_port: of loopback, where an embedded Ray has its metrics for Prometheus; None: it
            has none. Another Ray has its own.

    Raises:
        ClusterError: nothing answers there, or it refuses.
    """
    if address == "current" and not _leads_a_job():
        yield
        return
    local = address == "local"
    with _embedded(files, start_s, metrics_port) if local else _joined(address, package, files):
        yield


def address_here() -> str:
    """Where a program without an address computes: on the Ray that it uses, or on a new one.

    A Ray that the program has started with ``ray.init`` is used and left running.
    """
    ray = sys.modules.get("ray")
    return "current" if ray is not None and ray.is_initialized() else "local"


@contextmanager
def _embedded(files: Sequence[Path], start_s: float, metrics_port: int | None) -> Iterator[None]:
    """Bound to loopback, without a dashboard, behind a token that no file holds.

    Its own files lie in a private folder, which is removed with it.
    """
    folder = private_folder()
    try:
        _try_to_start(partial(_start_local, folder, files, metrics_port), start_s)
        with _until_the_end():
            yield
    finally:
        remove_folder(folder)


def _try_to_start(start: Callable[[], None], start_s: float) -> None:
    """Some limits of Ray cannot be set, so a slow start is tried again, until ``start_s``."""
    began, tries = monotonic(), 0
    os.environ.update(patient(start_s))
    while True:
        try:
            return start()
        except ClusterError:
            raise
        except Exception as error:
            tries += 1
            _shut_down()
            after_s = monotonic() - began
            if tries >= _LEAST_TRIES and (after_s > start_s or not _is_slow(error)):
                raise ClusterError(_not_started(error, after_s, tries)) from error


def _not_started(error: Exception, after_s: float, tries: int) -> str:
    """Ray's own advice about addresses and tokens is for those who gave some."""
    why = f"it was tried {tries} times in {after_s:.0f} s"
    if _is_slow(error):
        return (
            f"Ray did not start on this machine ({why}; the machine is busy, or lacks memory): try "
            "again when it is less busy, wait longer with --set workers.start_timeout_s=600, or "
            "compute in one process with --set workers.count=0"
        )
    return (
        f"Ray did not start on this machine ({_first_line(error)}; {why}): look for lack of "
        "memory or disk, or compute in one process with --set workers.count=0"
    )


def _is_slow(error: Exception) -> bool:
    said = str(error).lower()
    words = ("timed out", "timeout", "failed to connect", "unavailable", "deadline", "address")
    return isinstance(error, TimeoutError) or any(word in said for word in words)


def _shut_down() -> None:
    """What a failed start has left."""
    import ray

    with suppress(Exception):
        ray.shutdown()


@contextmanager
def _joined(address: str, package: ModuleType, files: Sequence[Path]) -> Iterator[None]:
    found = _address_to_join(address)
    try:
        _join(found, package, files)
    except ClusterError:
        raise
    except Exception as error:
        if (other_versions := mismatch(error, found.label)) is not None:
            raise other_versions from error
        given = [name for name in _TOKENS if name in os.environ]
        about_token = f"check {given[0]}; " if given and found.text == address else ""
        raise ClusterError(
            f"cannot use the Ray cluster at {found.label} ({_first_line(error)}): "
            f"{about_token}{found.remedy}"
        ) from error
    with _until_the_end():
        yield


@contextmanager
def _until_the_end() -> Iterator[None]:
    try:
        yield
    finally:
        import ray

        ray.shutdown()


def _start_local(folder: Path, files: Sequence[Path], metrics_port: int | None) -> None:
    if "ray" in sys.modules and os.environ.get("RAY_AUTH_MODE") != "token":
        raise ClusterError(
            "Ray was imported without a token, so that what it starts could be entered by "
            "others: set RAY_AUTH_MODE=token before the program imports ray"
        )
    avoid_proxies()
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.update([LOOPBACK_NODE])  # so that nothing listens elsewhere
    os.environ.setdefault(*NO_TASK_HISTORY)
    _let_import(files)
    import ray
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False  # as the variable, had Ray been imported before
    with without_helpers(metrics=metrics_port is not None):
        ray.init(
            address="local",
            include_dashboard=False,
            _temp_dir=str(folder / "ray"),
            _metrics_export_port=metrics_port,
            **_quiet(),
        )


def _let_import(files: Sequence[Path]) -> None:
    """Let the processes that start from now on import ``files`` by name."""
    path = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    folders = list(dict.fromkeys(str(file.parent) for file in files))
    if set(folders) - set(path):
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*path, *folders]))


def _leads_a_job() -> bool:
    """Whether this process is what a job runs first, which must still join its cluster."""
    if _IN_A_JOB not in os.environ:
        return False
    import ray

    return not ray.is_initialized()


def _address_to_join(address: str) -> Address:
    """The cluster that is meant, whose token this process then has where it is this machine's."""
    if address not in ("auto", "current"):
        named: Address | None = Address(address)
    else:  # Ray names the cluster of a job in $RAY_ADDRESS
        named = address_in_environment("RAY_ADDRESS")
    own = enter_local_cluster(named.text if named else None)
    prepare()
    if named is not None:
        return named
    if own is not None:
        return Address(own, LOCAL_CLUSTER)
    return Address(started_here("leave out --address to run on this machine"), RAY_START)


def _join(address: Address, package: ModuleType, files: Sequence[Path]) -> None:
    check_reachable(address)
    import ray

    # A job brings the package with it, and Ray refuses a package that is named twice.
    # By its path: a Ray client copies what it is given, which it cannot do with a module.
    folder = Path(str(package.__file__)).parent
    shipped = None if _IN_A_JOB in os.environ else {"py_modules": [*map(str, (folder, *files))]}
    ray.init(address=address.text, runtime_env=shipped, **_quiet())


def _quiet() -> dict[str, Any]:
    return {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") else lines[0]
