"""Which data a run was trained on, and what that means for resuming and testing it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from metaray.algorithms.atomic import write_json
from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.method_section import BatchTrained
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.config.loading import override, validate, with_overrides
from metaray.platform.config.schema import RunConfig
from metaray.platform.run.directory import RunDirectory


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The content of a run's ``data.json``."""

    content_sha256: str | None
    """hash of all images; None for tasks that are computed"""
    input_shape: tuple[int, ...]
    """of one input, ``(C, H, W)`` for pictures"""
    train_classes: int | None
    """classes of the training split; None for regression"""
    init: dict[str, Any] | None = None
    """where the network started, unless at random"""

    @classmethod
    def of(cls, source: EpisodeSource, init: dict[str, Any] | None = None) -> DataRecord:
        """The record of a run that is trained on ``source`` from ``init``."""
        return cls(
            content_sha256=source.content_sha256,
            input_shape=tuple(source.input_shape),
            train_classes=(
                source.num_classes("train") if source.kind == "classification" else None
            ),
            init=init,
        )

    @classmethod
    def read(cls, run: RunDirectory) -> DataRecord:
        """The record of ``run``; InputError when it is missing or damaged."""
        try:
            values = json.loads(run.data.read_text(encoding="utf-8"))
            return cls(
                content_sha256=values["content_sha256"],
                input_shape=tuple(values["input_shape"]),
                train_classes=values["train_classes"],
                init=values.get("init"),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{run.data} does not say which data the run was trained on ({error}): restore it"
            ) from None

    def write(self, run: RunDirectory) -> None:
        """Into the folder of ``run``."""
        write_json(run.data, asdict(self))

    @classmethod
    def check_same(cls, run: RunDirectory, source: EpisodeSource, name: str) -> None:
        """Raise InputError unless ``source`` holds what ``run`` was trained on."""
        recorded = cls.read(run).content_sha256
        if source.content_sha256 != recorded:
            raise InputError(
                f"the data set {name} is not the one that {run.path} was trained on (content hash "
                f"{_short(source.content_sha256)}, then {_short(recorded)}): point data.root or "
                "data.cache at the old one, or name another data set for a test with data.name"
            )


def other_data(trained: RunConfig, overrides: Iterable[str]) -> str | None:
    """The data set that overrides name for a test, unless it is that of the training.

    ``folder`` is always another one: its pictures are those of data.root.
    """
    data = with_overrides({}, overrides).get("data")
    name = data.get("name") if isinstance(data, dict) else None
    return None if name is None or name == trained.data.name != "folder" else str(name)


def config_of_test(trained: RunConfig, overrides: Iterable[str], run: RunDirectory) -> RunConfig:
    """``trained`` under the overrides of a test.

    An override of data.name to another set (or to ``folder``, be it another folder) gives the
    data section anew: that set's defaults, in the size and channels that the network was trained
    for, and the overrides.
    """
    overrides = list(overrides)
    other = other_data(trained, overrides)
    if other is None:
        return override(trained, overrides)
    if "sinusoid" in (other, trained.data.name):
        raise InputError(
            f"a network trained on {trained.data.name} cannot be tested on {other}: one is "
            "regression, the other pictures"
        )
    record = DataRecord.read(run)
    channels, size, _ = record.input_shape
    data = {
        "name": other,
        "cache": trained.data.cache,
        "image_size": size,
        "channels": channels,
    }
    tree = trained.model_dump() | {"data": data}
    if isinstance(trained.method, BatchTrained):
        tree["method"]["num_classes"] = record.train_classes  # its head is that of the training
    return validate(with_overrides(tree, overrides))


def check_tested(
    run: RunDirectory, source: EpisodeSource, trained: DataConfig, tested: DataConfig
) -> None:
    """Raise InputError when another data set does not fit the network, or is not another one."""
    record = DataRecord.read(run)
    if tuple(source.input_shape) != record.input_shape:
        raise InputError(
            f"the network of {run.path} takes inputs of {_shape(record.input_shape)}, "
            f"{tested.name} gives {_shape(source.input_shape)}: leave out data.image_size and "
            "data.channels, so that pictures are converted"
        )
    if source.content_sha256 == record.content_sha256:
        raise InputError(
            f"{tested.name} holds the very images of {trained.name}, on which {run.path} was "
            "trained, so its test classes may be training classes: leave out data.name, or test "
            "on other images"
        )


def _short(sha256: str | None) -> str:
    return "none" if sha256 is None else f"{sha256[:12]}..."


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
