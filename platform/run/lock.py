"""Only one process at a time writes to the folder of a run, a sweep or a comparison.

The file ``.lock`` in the folder says who that is. It is locked with ``flock``, which the kernel
gives up when the process ends in any way. Most network file systems pass that on to other machines.
Where they do not, the file's time counts, which its holder renews: it is compared with the time
that the same file system gives to a new file, so clocks of machines need not agree.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread
from time import localtime, monotonic, sleep, strftime

from metaray.algorithms.atomic import temporary_path
from metaray.algorithms.errors import InputError, write_error
from metaray.cluster.processes import ProcessMark
from metaray.platform.run.host import host_id

BEAT_S = 10.0
"""time between two renewals"""
STALE_S = 120.0
"""age at which the lock of another machine counts as left behind; caches of NFS take up to 60 s"""
_POLL_S = 0.5
_NOT_OFFERED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class FolderInUseError(InputError):
    """Another process writes to the folder."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that has a lock."""

    host: str
    host_id: str
    pid: int
    created: float
    """when the process was made, in seconds since the epoch"""

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        mark = ProcessMark.of(os.getpid())
        return cls(host=socket.gethostname(), host_id=host_id(), pid=mark.pid, created=mark.created)

    @property
    def is_of_this_host(self) -> bool:
        """Whether this process could see it."""
        return self.host_id == host_id()

    @property
    def lives(self) -> bool:
        """Whether the process exists, on this host."""
        return ProcessMark(self.pid, self.created).find() is not None

    @property
    def text(self) -> str:
        """For a sentence."""
        since = strftime("%Y-%m-%d %H:%M:%S", localtime(self.created))
        return f"process {self.pid} on {self.host}, which began at {since}"


@contextmanager
def locked(
    path: Path,
    shown: str,
    *,
    patience_s: float = 0.0,
    lost: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the lock ``path`` for the time of the block.

    Args:
        path: the file, whose folder is there.
        shown: what is locked, for messages: ``the run in runs/a``.
        patience_s: how long to wait for another process, which may be about to end.
        lost: takes a sentence where another process has taken the lock over, because this one
            did not renew it for long (a machine that slept).

    Raises:
        FolderInUseError: another process holds it.
        InputError, DiskError: the file cannot be written.
    """
    deadline = monotonic() + patience_s
    while True:
        try:
            descriptor = _acquired(path, shown)
            break
        except FolderInUseError:
            if monotonic() >= deadline:
                raise
            sleep(_POLL_S)
    ended = Event()
    arguments = path, descriptor, ended, lambda: lost(f"another process has taken over {shown}")
    beating = Thread(target=_renew, args=arguments, name="lock", daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        with suppress(OSError):
            if _is_at(path, descriptor) and _holder(descriptor) == Holder.here():
                path.unlink()
        os.close(descriptor)


def _acquired(path: Path, shown: str) -> int:
    """The open file, locked, with this process as its holder."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise write_error(f"the lock {path}", error, "make it writable") from error
        try:
            kernel_knows = _flocked(descriptor, shown)
            if not _is_at(path, descriptor):  # its holder removed it in between
                os.close(descriptor)
                continue
            _check_left_behind(path, descriptor, shown, kernel_knows)
            content = json.dumps(asdict(Holder.here())).encode()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, content, 0)
            os.fsync(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise write_error(f"the lock {path}", error, "make room") from error
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _flocked(descriptor: int, shown: str) -> bool:
    """Lock it; False where the file system offers no such locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _in_use(_holder(descriptor), shown) from None
    except OSError as error:
        if error.errno in _NOT_OFFERED:
            return False
        raise
    return True


def _check_left_behind(path: Path, descriptor: int, shown: str, kernel_knows: bool) -> None:
    """Raise FolderInUseError unless the holder that the file names, if any, is gone."""
    holder = _holder(descriptor)
    if holder is None:
        return
    if holder.is_of_this_host:
        if not kernel_knows and holder.lives:
            raise _in_use(holder, shown)
        return
    age_s = _now_there(path) - os.fstat(descriptor).st_mtime
    if age_s < STALE_S:
        raise _in_use(
            holder,
            shown,
            f" (if that machine is gone, it can be taken over in {STALE_S - age_s:.0f} s)",
        )


def _renew(path: Path, descriptor: int, ended: Event, lost: Callable[[], None]) -> None:
    while not ended.wait(BEAT_S):
        with suppress(OSError):
            if not _is_at(path, descriptor) or _holder(descriptor) != Holder.here():
                lost()
                return
            os.utime(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _now_there(path: Path) -> float:
    """The time that the file system of ``path`` gives to a file that is written now."""
    with temporary_path(path) as probe:
        probe.write_bytes(b".")
        return probe.stat().st_mtime


def _holder(descriptor: int) -> Holder | None:
    """Whom the file names; None where it is empty, or being written."""
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _in_use(holder: Holder | None, shown: str, more: str = "") -> FolderInUseError:
    who = "another process" if holder is None else holder.text
    return FolderInUseError(
        f"{shown} is in use by {who}{more}: wait until it ends, or end it, then run the command "
        "again"
    )
