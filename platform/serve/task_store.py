"""The registered tasks: a file for each, which all replicas share and a restart finds again."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from metaray.algorithms.atomic import atomic_path
from metaray.algorithms.reading import refusing_damage
from metaray.platform.serve.errors import Refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUFFIX = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A registered task."""

    name: str
    classes: tuple[str, ...]
    """sorted"""
    x: Tensor
    """support inputs ``[S, C, H, W]``"""
    y: Tensor
    """places of their classes, int64 ``[S]``"""

    @property
    def counts(self) -> dict[str, int]:
        """Support pictures of each class."""
        return {name: int((self.y == k).sum()) for k, name in enumerate(self.classes)}

    @property
    def version(self) -> str:
        """Other for another support set."""
        content = json.dumps(self.classes).encode() + self.x.numpy().tobytes()
        return sha256(content + self.y.numpy().tobytes()).hexdigest()[:16]


class TaskStore:
    """Tasks in a folder. Any number of processes may read and write it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tasks"
        self.folder.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Of all tasks, sorted."""
        return sorted(path.stem for path in self.folder.glob(f"*{_SUFFIX}"))

    def read(self, name: str) -> Task:
        """The task ``name``.

        Raises:
            Refused: 404, there is none.
        """
        path = self._path(name)
        if not path.is_file():
            raise Refused(404, f"there is no task {name}: register it first, or list the tasks")
        remedy = "delete it and register it again"
        with refusing_damage(f"the task {name} is damaged", remedy), safe_open(path, "pt") as file:
            classes = tuple(json.loads(file.metadata()["classes"]))
            x, y = file.get_tensor("x"), file.get_tensor("y")
        return Task(name=name, classes=classes, x=x, y=y)

    def mark(self, name: str) -> tuple[int, int]:
        """What changes with the content of a task; cheap to ask.

        Raises:
            Refused: 404, there is none.
        """
        try:
            found = self._path(name).stat()
        except FileNotFoundError:
            raise Refused(
                404, f"there is no task {name}: register it first, or list the tasks"
            ) from None
        return found.st_mtime_ns, found.st_ino

    def write(self, task: Task) -> None:
        """Put ``task`` in the place of what had its name; call it within ``changing``."""
        tensors = {"x": task.x.contiguous(), "y": task.y.to(torch.int64).contiguous()}
        content = safetensors.torch.save(tensors, {"classes": json.dumps(task.classes)})
        with atomic_path(self._path(task.name)) as temporary:
            temporary.write_bytes(content)

    def delete(self, name: str) -> None:
        """Forget a task.

        Raises:
            Refused: 404, there is none.
        """
        with self.changing():
            try:
                self._path(name).unlink()
            except FileNotFoundError:
                raise Refused(404, f"there is no task {name}: list the tasks") from None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One process at a time, for a change that depends on what is there."""
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Refused(
                422,
                f"the name of a task has 1 to 64 letters, digits, dots, dashes and underscores, "
                f"and begins with a letter or digit, got {name[:80]!r}",
            )
        return self.folder / f"{name}{_SUFFIX}"
