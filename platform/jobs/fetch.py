"""Bringing a run directory home: a copy on the same machine, else through a job that sends it.

That job (``send.py``) prints the packed folder, as text, into its log, which the Jobs API hands
on. Nothing is unpacked before its checksum is known, and only plain files within the folder are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from metaray.algorithms.atomic import atomic_folder
from metaray.algorithms.errors import InputError
from metaray.cluster.access import Access
from metaray.cluster.errors import ClusterError
from metaray.cluster.jobs import JobClient
from metaray.platform.jobs.job_spec import JobSpec
from metaray.platform.jobs.send import DATA, ERROR, SUM, plain_files
from metaray.platform.jobs.submission import own, package_folder
from metaray.platform.run.storage.remote_directory import is_uri


def fetch(job_id: str, target: Path, access: Access, client: JobClient) -> int:
    """The run directory of a job as the new folder ``target``; the number of its files.

    Raises:
        InputError: there is something at ``target``, or the job has no run directory yet.
        ClusterError: no such job, or what arrived is incomplete.
    """
    folder = own(client.job(job_id)).metadata["folder"]
    if is_uri(folder):
        raise InputError(
            f"job {job_id} keeps its run at {folder}: fetch it with the tools of that storage"
        )
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(f"{target} is not empty: give a new folder")
    with atomic_folder(target) as new:
        if access.is_here:
            _copy(Path(folder), new, job_id)
        else:
            _receive(job_id, folder, new, client)
        return sum(1 for _ in plain_files(new))


def _copy(folder: Path, new: Path, job_id: str) -> None:
    if not folder.is_dir():
        raise InputError(f"job {job_id} has no run directory {folder} yet: see its logs")
    for file in plain_files(folder):
        destination = new / file.relative_to(folder)
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(file, destination)
        except FileNotFoundError:
            continue  # a checkpoint that a running job replaced


def _receive(job_id: str, folder: str, new: Path, client: JobClient) -> None:
    sender = f"fetch-{job_id}-{secrets.token_hex(4)}"
    with TemporaryDirectory(prefix="metaray-job-") as packed:
        JobSpec((), folder, None).write(Path(packed))
        client.submit(sender, "metaray.platform.jobs.send", package_folder(), Path(packed), {})
    archive = new.with_name(f"{new.name}.tar.gz")
    try:
        with archive.open("wb") as file:
            receiver = Receiver(file)
            client.follow(sender, receiver.take)
            receiver.check()
        unpack(archive, new)
    finally:
        archive.unlink(missing_ok=True)


class Receiver:
    """Takes the sender's log in pieces of any size and writes what it carries."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._rest = ""
        self._sum: str | None = None
        self._error: str | None = None

    def take(self, piece: str) -> None:
        """The next piece of the log."""
        *lines, self._rest = (self._rest + piece).split("\n")
        for line in lines:
            self._line(line)

    def check(self) -> None:
        """Raise a ClusterError unless all of it has come, unchanged."""
        self._line(self._rest)
        if self._error is not None:
            raise ClusterError(self._error)
        if self._sum != self._hash.hexdigest():
            raise ClusterError(
                "the run directory that arrived is incomplete: fetch it again, or copy it yourself"
            )

    def _line(self, line: str) -> None:
        if line.startswith(DATA):
            try:
                data = base64.b64decode(line.removeprefix(DATA), validate=True)
            except binascii.Error:
                return  # the checksum will tell
            self._hash.update(data)
            self._file.write(data)
        elif line.startswith(SUM):
            self._sum = line.removeprefix(SUM).strip()
        elif line.startswith(ERROR):
            self._error = line.removeprefix(ERROR).strip()


def unpack(archive: Path, folder: Path) -> None:
    """The plain files of a tar archive, in ``folder``, and nothing else that the archive holds.

    Raises:
        ClusterError: something in it would lie elsewhere, or is no plain file.
    """
    with tarfile.open(archive, "r:gz") as packed:
        for member in packed:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or not member.isfile():
                raise ClusterError(
                    f"the archive of the run directory holds {member.name!r}, which is no plain "
                    "file within it: nothing was unpacked; look at who runs that cluster"
                )
            source = packed.extractfile(member)
            assert source is not None  # it is a file
            destination = folder / path
            destination.parent.mkdir(parents=True, exist_ok=True)
            with source, destination.open("xb") as file:
                shutil.copyfileobj(source, file)
