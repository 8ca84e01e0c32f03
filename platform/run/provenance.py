"""Which data a run was trained on, and where its network started: its ``data.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, PositiveInt

from metaray.algorithms.atomic import atomic_path, write_json
from metaray.algorithms.errors import InputError, write_error
from metaray.algorithms.reading import read_object, refusing_damage
from metaray.platform.run.directory import RunDirectory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from metaray.algorithms.tasks.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True)
class DomainRecord:
    """One data set as a run saw it."""

    name: str
    """of the data set, for messages; not kept in the file"""
    section: str = "data"
    """of the settings that say where it is; not kept in the file"""
    content_sha256: str | None
    """hash of all images; None for tasks that are computed"""
    input_shape: tuple[int, ...]
    """of one input, ``(C, H, W)`` for images"""
    train_classes: int | None
    """number of training classes; None for regression"""
    classes: tuple[str, ...] = ()
    """their names, where the network has an output for each"""
    images: Mapping[str, int] | None = None
    """number of images of each part, where images are divided within classes"""

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "content_sha256": self.content_sha256,
            "input_shape": list(self.input_shape),
            "train_classes": self.train_classes,
            "classes": list(self.classes),
            "pictures": None if self.images is None else dict(self.images),
        }

    def is_same(self, other: DomainRecord) -> bool:
        """Whether both hold the same images, divided in the same way."""
        return self.as_json() == other.as_json()


class _Domain(BaseModel):
    """A domain in the file, in this form or one of the two that came before it."""

    content_sha256: str | None
    input_shape: tuple[PositiveInt, ...]
    train_classes: int | None = None
    classes: tuple[str, ...] | None = None
    pictures: dict[str, int] | None = None

    def record(self) -> DomainRecord:
        classes = self.classes or ()
        is_said = "train_classes" in self.model_fields_set
        return DomainRecord(
            name="",
            content_sha256=self.content_sha256,
            input_shape=self.input_shape,
            train_classes=self.train_classes if is_said else len(classes),
            classes=classes,
            images=self.pictures,
        )


class _Content(BaseModel):
    """The file."""

    source: _Domain
    target: _Domain | None = None
    init: dict[str, Any] | None = None
    teacher: dict[str, Any] | None = None
    preprocessing: dict[str, Any] | None = None
    attribution: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The content of a run's ``data.json``."""

    source: DomainRecord
    """what it was trained on"""
    target: DomainRecord | None = None
    """the second domain, where there is one"""
    init: Mapping[str, Any] | None = None
    """where the network started (``Provenance.as_json``), unless at random"""
    teacher: Mapping[str, Any] | None = None
    """the network that the run learned from (a dumped ``ModelConfig``), where there is one"""
    preprocessing: Preprocessing | None = None
    """what was done to the pictures, and what these look like; None: not recorded, or no images"""
    attribution: tuple[str, ...] = ()
    """the works that the images were made of, with their licences, a line each"""
    trained_images: NDArray[np.uint64] | None = None
    """digests of the training images, which a test on other data is compared with; in a file
    beside, since there are many"""

    @classmethod
    def read(cls, run: RunDirectory) -> DataRecord:
        """The record of ``run``; a meta-training once kept its only domain at the top.

        Raises:
            InputError: it is missing or damaged.
        """
        problem, remedy = f"{run.data} does not say which data the run was trained on", "restore it"
        values = read_object(run.data, problem, remedy)
        from metaray.algorithms.tasks.preprocessing import Preprocessing  # imports torch

        with refusing_damage(problem, remedy):
            content = {**values, "source": values.get("source") or values}
            found = _Content.model_validate_json(json.dumps(content), strict=True)
            recorded = found.preprocessing
            preprocessing = None if recorded is None else Preprocessing.from_json(recorded)
        return cls(
            source=found.source.record(),
            target=None if found.target is None else found.target.record(),
            init=values.get("init"),
            teacher=values.get("teacher"),
            preprocessing=preprocessing,
            attribution=found.attribution,
        )

    def write(self, run: RunDirectory) -> None:
        """Into the folder of ``run``."""
        record: dict[str, Any] = {
            "source": self.source.as_json(),
            "target": None if self.target is None else self.target.as_json(),
            "init": self.init,
            "teacher": self.teacher,
            "preprocessing": None if self.preprocessing is None else self.preprocessing.as_json(),
        }
        if self.attribution:
            record["attribution"] = list(self.attribution)
        if self.trained_images is not None:
            import numpy as np

            content = BytesIO()  # numpy itself does not say why it could not write a file
            np.save(content, self.trained_images, allow_pickle=False)
            try:
                with atomic_path(run.trained_images) as temporary:
                    temporary.write_bytes(content.getbuffer())
            except OSError as error:
                where = f"the digests of images {run.trained_images}"
                raise write_error(where, error, "make room or make it writable") from error
        write_json(run.data, record)

    def check_same(self, run: RunDirectory) -> None:
        """Raise InputError unless these data are those that ``run`` was trained on."""
        recorded = DataRecord.read(run)
        for found, before in ((self.source, recorded.source), (self.target, recorded.target)):
            if found is None or (before is not None and found.is_same(before)):
                continue
            raise InputError(
                f"the data set {found.name} is not the one that {run.path} was trained on"
                f"{_hashes(found, before)}: point {found.section}.root or {found.section}.cache "
                "at the old one"
            )


def attribution_of(run: RunDirectory) -> tuple[str, ...]:
    """What the images of ``run`` were made of, a line each; none of a run without a record."""
    return DataRecord.read(run).attribution if run.data.is_file() else ()


def images_trained_on(run: RunDirectory) -> NDArray[np.uint64]:
    """The digests of the training images; none of a run that did not record them.

    Raises:
        InputError: the file of digests is damaged.
    """
    import numpy as np

    path = run.trained_images
    if not path.is_file():
        return np.empty(0, np.uint64)
    with refusing_damage(f"{path} does not hold digests of images", "restore it, or delete it"):
        found: NDArray[np.uint64] = np.load(path, mmap_mode="r", allow_pickle=False)
        if found.ndim != 1 or found.dtype != np.uint64:
            raise ValueError(f"it holds {found.dtype} {list(found.shape)}")
        return np.array(found)


def _hashes(found: DomainRecord, before: DomainRecord | None) -> str:
    now, then = found.content_sha256, before.content_sha256 if before else None
    return "" if now == then else f" (content hash {_short(now)}, then {_short(then)})"


def _short(sha256: str | None) -> str:
    return "none" if sha256 is None else f"{sha256[:12]}..."
