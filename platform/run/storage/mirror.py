"""Keeps a copy of a folder in another place, in the background, always one to resume from."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from metaray.platform.run.storage.remote_directory import RemoteDirectory, StorageError

_EVERY_S = 5.0
_SHARE = 10  # rests at least this many times as long as the last pass took
_LAST_TRIES, _LAST_WAIT_S = 5, 4.0
_LAST_PASS_S = 300.0
"""how long the end of a run waits for a pass that is under way"""

Stamp = tuple[int, int]


class Mirror:
    """Sends each file of ``folder`` that is new or changed to ``place``, and drops what is gone.

    A pass sends logs first, then files in the order in which they were finished, ``config.json``
    last; only then it deletes. So at any moment its log covers its checkpoints, its results name
    checkpoints that are there, and a copy with a config can be resumed.
    """

    def __init__(
        self,
        folder: Path,
        place: RemoteDirectory,
        notify: Callable[[str], None],
        *,
        in_step: bool,
        every_s: float = _EVERY_S,
    ) -> None:
        """``in_step``: the folder was just copied from the place, and need not be sent again."""
        self._folder = folder
        self._place = place
        self._notify = notify
        self._every_s = every_s
        self._sent: dict[str, Stamp | None] = dict.fromkeys(place.files())
        if in_step:
            self._sent |= _stamps(folder)
        self._told = False
        self._ending = Event()
        self._thread = Thread(target=self._work, name="storage mirror", daemon=True)

    def start(self) -> None:
        """Begin to look for changes."""
        self._thread.start()

    def finish(self) -> None:
        """Return when all is sent.

        Raises:
            StorageError: that was not to be done in several tries, or the place does not answer.
        """
        self._ending.set()
        self._thread.join(_LAST_PASS_S)
        if self._thread.is_alive():
            raise StorageError(f"{self._place.uri} gave no answer for {_LAST_PASS_S:g} s")
        for attempt in range(_LAST_TRIES):
            try:
                if self.send_changes():
                    return
            except StorageError:
                if attempt == _LAST_TRIES - 1:
                    raise
                time.sleep(_LAST_WAIT_S)

    def send_changes(self) -> bool:
        """One pass; whether the copy was then as the folder had been when it began.

        Raises:
            StorageError: a file could not be sent or deleted; what was sent before counts.
        """
        stamps = _stamps(self._folder)
        vanished = False
        for name in sorted(stamps, key=lambda name: _rank(name, stamps[name])):
            if self._sent.get(name) == stamps[name]:
                continue
            try:
                content = (self._folder / name).read_bytes()
            except FileNotFoundError:  # pruned since; what took its place is in the next pass
                vanished = True
                continue
            self._place.write(name, content)
            self._sent[name] = stamps[name]
        if not vanished:
            for name in self._sent.keys() - stamps.keys():
                self._place.delete(name)
                del self._sent[name]
        return not vanished

    def _work(self) -> None:
        rest = self._every_s
        while not self._ending.wait(rest):
            started = time.monotonic()
            try:
                self.send_changes()
                self._told = False
            except (StorageError, OSError) as error:
                if not self._told:
                    self._notify(f"{error}; the run continues, and this is tried again")
                self._told = True
            rest = max(self._every_s, _SHARE * (time.monotonic() - started))


def _stamps(folder: Path) -> dict[str, Stamp]:
    """Time of change and size of every file that is not hidden, by relative path."""
    stamps = {}
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.name.startswith("."):
                stat = path.stat()
                stamps[path.relative_to(folder).as_posix()] = (stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            continue
    return stamps


def _rank(name: str, stamp: Stamp) -> tuple[int, int]:
    if name.endswith(".jsonl"):
        return 0, 0
    return (2 if name == "config.json" else 1), stamp[0]
