"""Where a run is kept: a folder, or a URI with a local copy for the time that it is worked on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import cache_root, user_path
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.lock import locked
from metaray.platform.run.storage.mirror import Mirror
from metaray.platform.run.storage.remote_directory import RemoteDirectory, StorageError, is_uri

Notify = Callable[[str], None]
_STEP = re.compile(r"checkpoints/step-(\d+)\.safetensors")


@dataclass(frozen=True)
class WorkingCopy:
    """A run while it is worked on."""

    folder: Path
    """the run directory on this machine"""
    shown: str
    """where its user knows it"""


@contextmanager
def new_run(out: str, notify: Notify) -> Iterator[WorkingCopy]:
    """The folder of a new run that is kept at ``out``, complete there when the block ends.

    Raises:
        InputError: ``out`` cannot be used, or holds something already.
        StorageError: at the end, not all could be sent; the local copy stays.
    """
    if not is_uri(out):
        yield WorkingCopy(user_path(out), out)
        return
    place, local = RemoteDirectory.open(out), _local_copy(out)
    if found := place.files():
        holds = "already holds a run" if "config.json" in found else "is not empty"
        raise InputError(
            f"{out} {holds}: continue a run with --resume {out}, or choose another place with --out"
        )
    if (local / "config.json").exists():
        raise InputError(
            f"a run for {out} was begun on this machine and never sent: continue it with "
            f"--resume {out}, or delete {local}"
        )
    place.check_writable()
    with _locked(local, out):
        shutil.rmtree(local, ignore_errors=True)
        with _mirrored(local, place, notify, in_step=False) as kept:
            yield kept


@contextmanager
def existing_run(run: str, notify: Notify) -> Iterator[WorkingCopy]:
    """The folder of the run that is kept at ``run``, brought here; changes are sent back.

    A copy that a broken-off run left on this machine is taken if it is ahead of what was sent.

    Raises:
        InputError: there is no run, or another process of this machine uses it.
        StorageError: it cannot be read, or at the end not all could be sent.
    """
    if not is_uri(run):
        yield WorkingCopy(user_path(run), run)
        return
    place, local = RemoteDirectory.open(run), _local_copy(run)
    with _locked(local, run), _brought(run, place, local, notify) as kept:
        yield kept


@contextmanager
def _brought(
    run: str, place: RemoteDirectory, local: Path, notify: Notify
) -> Iterator[WorkingCopy]:
    found = place.files()
    is_there = "config.json" in found
    ahead = (local / "config.json").exists() and (
        not is_there or _newest(_names(local)) > _newest(found)
    )
    if not ahead and not is_there:
        raise InputError(
            f"{run} is not a run directory ({'no config.json' if found else 'nothing is there'}): "
            "give the --out of a run"
        )
    if ahead:
        notify(f"continuing with the local copy {local}, which is ahead of {run}")
    else:
        notify(f"bringing {run} here")
        shutil.rmtree(local, ignore_errors=True)
        for name in found:
            target = local / name
            target.parent.mkdir(parents=True, exist_ok=True)
            place.read_to(name, target)
    for folder in (RunDirectory(local).plots, RunDirectory(local).evaluations):
        folder.mkdir(exist_ok=True)  # stores keep no empty folders
    with _mirrored(local, place, notify, in_step=not ahead) as kept:
        yield kept


def _locked(local: Path, uri: str) -> AbstractContextManager[None]:
    """No other process of this machine uses the local copy in the block."""
    local.parent.mkdir(parents=True, exist_ok=True)
    return locked(local.with_name(f".{local.name}.lock"), f"the local copy of {uri}")


@contextmanager
def _mirrored(
    local: Path, place: RemoteDirectory, notify: Notify, *, in_step: bool
) -> Iterator[WorkingCopy]:
    """What a failed block leaves is sent too, so that it can be resumed elsewhere."""
    note = RunDirectory(local).note_of_place
    write_text(note, place.uri)
    mirror = Mirror(local, place, notify, in_step=in_step)
    mirror.start()
    try:
        yield WorkingCopy(local, place.uri)
    except BaseException as error:
        if len(error.args) == 1 and isinstance(error.args[0], str):
            error.args = (error.args[0].replace(str(local), place.uri),)
        try:
            mirror.finish()
        except StorageError as late:
            notify(f"{late}; what was not sent is in {local}")
        raise
    try:
        mirror.finish()
    except StorageError as error:
        raise StorageError(
            f"{error}; all of it is in {local}: when it can be used, run --resume {place.uri}"
        ) from error
    shutil.rmtree(local)
    note.unlink()


def shared_folder(place: str, what: str) -> Path:
    """The path of something that several processes write to at once, which no store allows.

    Raises:
        InputError: ``place`` is a URI.
    """
    if is_uri(place):
        raise InputError(
            f"{what} is written to by all its runs at once, so it cannot be kept at {place}: give "
            "--out a folder, on a disk that all nodes share"
        )
    return user_path(place)


def _local_copy(uri: str) -> Path:
    """The same for the same URI; within the cache, under a name that people can read."""
    readable = re.sub(r"[^\w.-]+", "-", uri.partition("://")[2])[-60:]
    return cache_root() / "runs" / f"{readable}-{sha256(uri.rstrip('/').encode()).hexdigest()[:8]}"


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _newest(names: Iterable[str]) -> int:
    """The step of the newest checkpoint, or -1."""
    steps = [int(hit[1]) for name in names if (hit := _STEP.fullmatch(name))]
    return max(steps, default=-1)
