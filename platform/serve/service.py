"""What the server does with tasks and pictures, without HTTP."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from metaray.algorithms.errors import InputError
from metaray.platform.inference.adapted_model import AdaptedModel, Predicted
from metaray.platform.inference.learner import Learner, check_classes
from metaray.platform.inference.pictures import PictureFile
from metaray.platform.serve.errors import Refused
from metaray.platform.serve.limits import ServeLimits
from metaray.platform.serve.task_store import Task, TaskStore

_MOST_ADAPTED = 32  # tasks that are kept ready

Upload = tuple[str, bytes]
"""the name of a file, and its content"""


class Service:
    """A learner, and the tasks that it knows."""

    def __init__(self, learner: Learner, folder: Path, limits: ServeLimits) -> None:
        self.learner = learner
        self.limits = limits
        self.store = TaskStore(folder)
        self._ready: OrderedDict[str, tuple[tuple[int, int], AdaptedModel]] = OrderedDict()
        self._lock = Lock()

    def register(self, name: str | None, pictures: Sequence[Upload], labels: Sequence[str]) -> Task:
        """A new task from support pictures.

        Raises:
            Refused: the name is taken (409), or the pictures make no task (413, 422).
        """
        name = name or secrets.token_hex(6)
        x = self._read(pictures, labels)
        task = _task(name, x, list(labels))
        self._check(task)
        with self.store.changing():
            names = self.store.names()
            if name in names:
                raise Refused(
                    409, f"there is a task {name}: add pictures to it, delete it, or take another"
                )
            if len(names) >= self.limits.max_tasks:
                raise Refused(
                    409, f"there are {len(names)} tasks, as many as may be: delete some first"
                )
            self.store.write(task)
        return task

    def add(self, name: str, pictures: Sequence[Upload], labels: Sequence[str]) -> Task:
        """Further support pictures for a task, of its classes or of new ones.

        Raises:
            Refused: there is no such task (404), or the pictures do not fit it (413, 422).
        """
        x = self._read(pictures, labels)
        with self.store.changing():
            before = self.store.read(name)
            known = [before.classes[k] for k in before.y.tolist()]
            task = _task(name, torch.cat([before.x, x]), [*known, *labels])
            self._check(task)
            self.store.write(task)
        return task

    def notes(self, task: Task) -> list[str]:
        """What should be known of rejections in a task."""
        calibration = self.learner.spec.calibration
        counts = list(task.counts.values())
        return [] if calibration is None else calibration.refusal_notes(counts)

    def inputs(self, pictures: Sequence[Upload]) -> list[Tensor | str]:
        """The input of each picture, or a sentence where it cannot be read.

        Raises:
            Refused: there are none, or too many (413, 422).
        """
        self._check_count(pictures)
        found: list[Tensor | str] = []
        for name, content in pictures:
            try:
                found.append(self._read_one(name, content))
            except InputError as error:
                found.append(str(error))
        return found

    def predict(self, name: str, x: Tensor) -> tuple[tuple[Any, ...], Predicted]:
        """The classes of a task, and the predictions for inputs ``[n, C, H, W]``.

        Raises:
            Refused: 404, there is no such task.
        """
        model = self.model(name)
        return model.classes, model.predict_inputs(x)

    def model(self, name: str) -> AdaptedModel:
        """The learner adapted to a task; kept until the task changes.

        Raises:
            Refused: 404, there is no such task.
        """
        mark = self.store.mark(name)
        with self._lock:
            kept = self._ready.get(name)
            if kept is not None and kept[0] == mark:
                self._ready.move_to_end(name)
                return kept[1]
        task = self.store.read(name)
        model = self.learner.adapted(task.x, task.y, task.classes, self.learner.reader())
        with self._lock:
            self._ready[name] = mark, model
            while len(self._ready) > _MOST_ADAPTED:
                self._ready.popitem(last=False)
        return model

    def _read(self, pictures: Sequence[Upload], labels: Sequence[str]) -> Tensor:
        """Support inputs; all of them must be readable."""
        self._check_count(pictures)
        if len(pictures) != len(labels):
            raise Refused(
                422,
                f"each picture needs a label, got {len(pictures)} pictures and {len(labels)} "
                "labels: send the field labels once for each picture, in the same order",
            )
        if not all(label.strip() and len(label) <= 100 for label in labels):
            raise Refused(422, "a label has 1 to 100 characters: shorten it, or fill it in")
        try:
            return torch.stack([self._read_one(*picture) for picture in pictures])
        except InputError as error:
            raise Refused(422, str(error)) from error

    def _read_one(self, name: str, content: bytes) -> Tensor:
        return self.learner.reader().read_one(PictureFile(name or "a picture", lambda: content))

    def _check_count(self, pictures: Sequence[Upload]) -> None:
        if not pictures:
            raise Refused(422, "there are no pictures: send the field pictures once for each")
        if len(pictures) > self.limits.max_pictures:
            raise Refused(
                413,
                f"{len(pictures)} pictures are more than the {self.limits.max_pictures} of a "
                "request: send several requests",
            )

    def _check(self, task: Task) -> None:
        try:
            check_classes(self.learner.spec, task.classes)
        except InputError as error:
            raise Refused(422, str(error)) from error
        if len(task.classes) > self.limits.max_classes:
            raise Refused(
                413,
                f"{len(task.classes)} classes are more than the {self.limits.max_classes} of a "
                "task: make two tasks",
            )
        if len(task.y) > self.limits.max_support:
            raise Refused(
                413,
                f"{len(task.y)} support pictures are more than the {self.limits.max_support} of a "
                "task: leave some out",
            )


def _task(name: str, x: Tensor, labels: Sequence[str]) -> Task:
    classes = tuple(sorted(set(labels)))
    y = torch.tensor([classes.index(label) for label in labels])
    return Task(name=name, classes=classes, x=x, y=y)
