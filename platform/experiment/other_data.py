"""A meta-test on another data set than that of the training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from metaray.algorithms.configs import VARYING_QUERIES, DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.method_section import BatchTrained
from metaray.algorithms.tasks.registry import DATA_SETS
from metaray.platform.config.loading import override, validate_as, with_overrides
from metaray.platform.config.meta import RunConfig
from metaray.platform.config.tree import flat, get, with_values
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.provenance import DataRecord, images_trained_on

# Sets whose test episodes are given have their shape and number.
_OF_TEST = {
    "omniglot_runs": {
        "task.ways": 20,
        "task.shots": 1,
        "task.queries": 1,
        "task.within_group": False,
        "task.sampler": "fixed",
        "evaluate.num_episodes": 20,
        "evaluate.rotations": None,
    }
}

if TYPE_CHECKING:
    from metaray.algorithms.tasks.source import EpisodeSource


def other_data(trained: RunConfig, overrides: Iterable[str]) -> str | None:
    """The data set that overrides name for a test, unless it is that of the training.

    ``folder`` is always another one: its images are those of data.root.
    """
    data = with_overrides({}, overrides).get("data")
    name = data.get("name") if isinstance(data, dict) else None
    return None if name is None or name == trained.data.name != "folder" else str(name)


def config_of_test(trained: RunConfig, overrides: Iterable[str], run: RunDirectory) -> RunConfig:
    """``trained`` under the overrides of a test.

    An override of data.name to another set (or from one ``folder`` to another) gives the
    data section new values: that set's defaults, in the size and channels that the network was
    trained for, and the overrides.
    """
    overrides = list(overrides)
    other = other_data(trained, overrides)
    given = with_overrides({}, overrides)
    if get(given, "task.sampler", None) not in (None, "fixed", trained.task.sampler):
        overrides = [f"task.queries={VARYING_QUERIES}", *overrides]  # its default
    if other is None:
        config = override(trained, overrides)
        config.check_given([key for key, _ in flat(given)])
        return config
    if not (trained.data.has_images and DATA_SETS.validate({"name": other}).has_images):
        raise InputError(
            f"a network trained on {trained.data.name} cannot be tested on {other}: only a network "
            "for images can be tested on other data"
        )
    record = DataRecord.read(run).source
    channels, size, _ = record.input_shape
    data = {
        "name": other,
        "cache": trained.data.cache,
        "image_size": size,
        "channels": channels,
    }
    tree = with_values(trained.model_dump() | {"data": data}, _OF_TEST.get(other, {}))
    if isinstance(trained.method, BatchTrained):
        tree["method"]["num_classes"] = record.train_classes  # its head is that of the training
    config = validate_as(RunConfig, with_overrides(tree, overrides))
    config.check_given([key for key, _ in flat(given)])
    return config


def check_other_data(
    run: RunDirectory, source: EpisodeSource, trained: DataConfig, tested: DataConfig
) -> None:
    """Raise InputError when another data set does not fit the network, or is not another one."""
    record = DataRecord.read(run).source
    if tuple(source.input_shape) != record.input_shape:
        raise InputError(
            f"the network of {run.path} takes inputs of {_shape(record.input_shape)}, "
            f"{tested.name} gives {_shape(source.input_shape)}: leave out data.image_size and "
            "data.channels, so that images are converted"
        )
    if source.content_sha256 == record.content_sha256:
        raise InputError(
            f"{tested.name} holds the very images of {trained.name}, on which {run.path} was "
            "trained, so its test classes may be training classes: leave out data.name, or test "
            "on other images"
        )


def leak_sentence(run: RunDirectory, source: EpisodeSource) -> str:
    """What should be known of a test on images that the run was trained on; empty if none is."""
    import numpy as np

    from metaray.platform.experiment.meta_data import digests_of  # imports torch

    tested = digests_of(source, "test")
    if tested is None:
        return ""
    count = len(np.intersect1d(tested, images_trained_on(run)))
    if not count:
        return ""
    return (
        f"{count:,} of {len(tested):,} test images are images that {run.path} was trained on, so "
        "the accuracy is too high: test on classes that are new to it"
    )


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
