"""Making a job of a command: checked here, packed, sent."""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import metaray
from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.cluster.access import Access
from metaray.cluster.errors import ClusterError
from metaray.cluster.home import home
from metaray.cluster.jobs import JobClient, JobRecord
from metaray.cluster.versions import Versions, minor
from metaray.platform.config.request import Request
from metaray.platform.jobs.check import check_paths, check_settings
from metaray.platform.jobs.job_spec import FILES, FOLDER, JobSpec
from metaray.platform.jobs.plugin_files import plugin_files
from metaray.platform.run.storage.remote_directory import is_uri

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Submitted:
    """A job that was sent."""

    job_id: str
    folder: str
    """its run directory on the cluster"""


def submit(
    request: Request,
    name: str | None,
    access: Access,
    open_client: Callable[[], JobClient],
    notify: Callable[[str], None],
) -> Submitted:
    """Send ``request`` to a cluster as a job.

    Args:
        request: what to run there.
        name: the job's id; None: one that tells what it is and when it was submitted.
        access: the cluster.
        open_client: opens its Jobs API, which takes a while to import.
        notify: takes sentences about what should be known.

    Raises:
        InputError: settings, paths or resources that cannot work; nothing was sent.
        ClusterError: the cluster cannot be reached or is of another kind, or has such a job.
    """
    _check_words(request, name)
    for file in _files(request):
        if not file.is_file():
            raise InputError(f"there is no file {file}: give the path of a file of settings")
    notes = check_paths(request, access.is_here)
    dashboard = access.dashboard
    notes += _check_versions(dashboard.versions())
    nodes = [node.resources for node in dashboard.nodes()]
    notes += check_settings(request, access.is_here, nodes, dashboard.adds_nodes())
    own_code = plugin_files(request, access.is_here)
    for note in notes:
        notify(note)
    job_id = name or _fresh_id(request)
    jobs = open_client()
    folder, words = _placed(request, job_id, access.is_here, jobs)
    spec = JobSpec(tuple(words), folder, str(Path.cwd()) if access.is_here else None)
    with TemporaryDirectory(prefix="metaray-job-") as packed:
        spec.write(Path(packed))
        for index, file in enumerate(_files(request)):
            target = Path(packed) / _shipped(index, file)
            target.parent.mkdir(parents=True)
            shutil.copyfile(file, target)
        for file in own_code:
            shutil.copyfile(file, Path(packed) / file.name)
        jobs.submit(
            job_id,
            "metaray.platform.cli.job_entry",
            package_folder(),
            Path(packed),
            {"metaray": metaray.__version__, "folder": folder, "command": _text(request)},
        )
    return Submitted(job_id, folder)


def package_folder() -> Path:
    """The package itself, which goes with each job; never the folder that it lies in."""
    return Path(metaray.__file__).parent


def own(job: JobRecord) -> JobRecord:
    """``job``; ClusterError if it was not submitted by us."""
    if "folder" not in job.metadata:
        raise ClusterError(
            f"job {job.job_id} was not submitted by metaray submit: look at it with ray job"
        )
    return job


def _check_words(request: Request, name: str | None) -> None:
    if request.address is not None:
        raise InputError(
            "a job computes on the cluster that it is submitted to: give --address before the --, "
            "to metaray submit"
        )
    if name is not None and not _NAME.fullmatch(name):
        raise InputError(
            f"--name {name!r} is no name of a job: use up to 64 letters, digits, points, dashes"
        )
    storage = request.given.get("storage")
    if storage is not None:
        from metaray.platform.sweep.storage import shown

        if shown(storage) != storage:
            raise InputError(
                "anyone with access to the cluster can read the commands of its jobs, and "
                "--storage holds a password: set METARAY_STORAGE on the cluster instead"
            )


def _check_versions(there: Versions) -> list[str]:
    """What other versions there mean, or ClusterError where they cannot work."""
    there.check_supported()
    differing = [
        f"{name} {found} (here: {mine})"
        for name, found, mine in zip(("Ray", "Python"), there, Versions.here(), strict=True)
        if minor(found) != minor(mine)
    ]
    return [f"the job runs with the cluster's {' and '.join(differing)}"] if differing else []


def _placed(request: Request, job_id: str, is_here: bool, jobs: JobClient) -> tuple[str, list[str]]:
    """The run directory on the cluster, and the words of the command there."""
    changes: dict[str, Any] = {"address": "current"}
    shipped = (f"{FILES}{_shipped(i, file)}" for i, file in enumerate(_files(request)))
    for name, value in request.given_as("config", "file").items():
        changes[name] = [next(shipped) for _ in value] if isinstance(value, list) else next(shipped)
    for name, one in request.options():
        if one.role == "state":
            changes[name] = _state_there(one.flag, request.given.get(name), request, is_here)
    before = request.given_as("earlier run")
    key, given = next(iter((before or {"out": request.given.get("out")}).items()))
    earlier = _folder_of(jobs, str(given)) if before else None
    folder = earlier or _folder_there(key, given, job_id, is_here)
    if is_uri(folder):
        return folder, replace(request, **changes, **{key: folder}).words()
    if is_here and not before and (taken := Path(folder)).is_dir() and any(taken.iterdir()):
        raise InputError(f"{folder} is not empty: choose another --name, or another --out")
    if is_here and before and not Path(folder).is_dir():
        raise InputError(f"{given} is neither a job of the cluster nor a folder: see metaray jobs")
    return folder, replace(request, **changes, **{key: FOLDER}).words()


def _folder_there(key: str, given: Any, job_id: str, is_here: bool) -> str:
    """The run directory on the cluster: as it was given, or by the job's id."""
    if given is None:
        return str(home() / "runs" / job_id) if is_here else f"~/.metaray/runs/{job_id}"
    if is_uri(str(given)):
        return str(given)
    return _there(f"--{key}" if key != "run_dir" else "the run", Path(given), is_here)


def _state_there(flag: str | None, given: Any, request: Request, is_here: bool) -> str:
    """Where a server keeps its state on the cluster: as it was given, or by the name of its run."""
    if given is not None:
        return _there(str(flag), Path(given), is_here)
    name = request.run_name
    return str(home() / "serving" / name) if is_here else f"~/.metaray/serving/{name}"


def _files(request: Request) -> list[Path]:
    """The files that go with the job."""
    return request.files("config", "file")


def _folder_of(jobs: JobClient, job_id: object) -> str | None:
    return next(
        (job.metadata.get("folder") for job in jobs.jobs() if job.job_id == str(job_id)), None
    )


def _there(what: str, path: Path, is_here: bool) -> str:
    if is_here:
        return str(user_path(path).absolute())
    if not path.is_absolute() and not str(path).startswith("~"):
        raise InputError(
            f"{what} {path} is a relative path, which the cluster cannot follow: give an absolute "
            "path there, or the id of a job"
        )
    return str(path)


def _shipped(index: int, file: Path) -> str:
    return f"files/{index}/{file.name}"


def _fresh_id(request: Request) -> str:
    return f"{'-'.join(request.names)}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _text(request: Request) -> str:
    return shlex.join(word for word in request.words() if word != "--")
