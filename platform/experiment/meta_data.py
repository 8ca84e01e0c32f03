"""The data of a meta-training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.method_section import BatchTrained
from metaray.algorithms.tasks.catalog import copies_note
from metaray.algorithms.tasks.class_episodes import ClassEpisodes
from metaray.algorithms.tasks.duplicates import image_digests
from metaray.algorithms.tasks.image_episodes import ImageEpisodes
from metaray.algorithms.tasks.omniglot_runs import OmniglotRuns
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.callbacks.preparing import preparing
from metaray.platform.config.loading import fitted_to
from metaray.platform.config.meta import RunConfig
from metaray.platform.distributed.parallel_map import decoder
from metaray.platform.experiment.fit_to_data import fitted
from metaray.platform.run.provenance import DomainRecord
from metaray.platform.training.meta.blueprint import algorithm_of
from metaray.platform.training.meta.derivatives import derivatives_of
from metaray.platform.training.meta.episode_source import open_source


def open_data(config: RunConfig, address: str = "local", only_test: bool = False) -> EpisodeSource:
    """The data, prepared with progress if need be, and able to serve the splits that are used.

    Raises:
        InputError: it is missing or damaged, or too small for the shapes of ``config``.
    """
    source = _opened(config, address)
    _check(config, source, only_test)
    return source


def open_fitted(config: RunConfig, address: str) -> tuple[EpisodeSource, RunConfig, str]:
    """As ``open_data``, with a config whose defaults fit the data, and a sentence on them."""
    source = _opened(config, address)
    config, sentence = fitted(config, source)
    _check(config, source)
    return source, with_derivatives(config, source), sentence


def with_derivatives(config: RunConfig, source: EpisodeSource) -> RunConfig:
    """``config`` with the path that computes its derivatives, so that the run keeps to it."""
    classes = None if source.kind == "regression" else source.num_classes("train")
    algorithm = algorithm_of(config, source.input_shape, classes)
    return fitted_to(config, {"workers.derivatives": derivatives_of(config, algorithm)})


def _opened(config: RunConfig, address: str) -> EpisodeSource:
    """A large set is decoded by as many processes as the run has workers; but in this one for a run
    that joins a cluster, whose other nodes may not share the cache."""
    mapper = decoder(config.workers.count if address == "local" else 0)
    with preparing(config.data.name) as progress:
        return open_source(config, progress, mapper)


def _check(config: RunConfig, source: EpisodeSource, only_test: bool = False) -> None:
    if not only_test and config.train.outer_steps:
        if isinstance(config.method, BatchTrained):
            _check_classes(config.method, source.num_classes("train"))
        else:
            source.check("train", config.train_shape)
        if config.train.validate_every:
            source.check("val", config.test_shape)
    source.check("test", config.test_shape)


def note_of(source: EpisodeSource, data: DataConfig) -> str:
    """What is odd about the data; empty if nothing is."""
    return copies_note(data, source.store) if isinstance(source, ClassEpisodes) else ""


def attribution_of(source: EpisodeSource) -> tuple[str, ...]:
    """The works that the images were made of, a line each; none where they are as published."""
    made_of = source.store.header.made_of if isinstance(source, ClassEpisodes) else None
    return () if made_of is None else tuple(made_of.attribution())


def digests_of(source: EpisodeSource, split: Split) -> NDArray[np.uint64] | None:
    """Digests of the images or vectors of a split; None for tasks that are computed."""
    if isinstance(source, OmniglotRuns) and split == "test":
        return source.digests
    if not isinstance(source, ClassEpisodes):
        return None
    return image_digests(source.store, source.splits[split])


def preprocessing_of(source: EpisodeSource, data: DataConfig) -> Preprocessing | None:
    """What is done to the images of ``data``; None for tasks without images."""
    if not isinstance(source, ImageEpisodes):
        return None
    return Preprocessing.of(source.store, data.name, data.channels, source.splits["train"])


def record_of(source: EpisodeSource, name: str) -> DomainRecord:
    """What a run that is trained on ``source`` keeps of it."""
    return DomainRecord(
        name=name,
        content_sha256=source.content_sha256,
        input_shape=tuple(source.input_shape),
        train_classes=source.num_classes("train") if source.kind == "classification" else None,
    )


def _check_classes(method: BatchTrained, found: int) -> None:
    if method.num_classes is not None and method.num_classes < found:
        raise InputError(
            f"method.num_classes = {method.num_classes} is fewer than the {found} classes of the "
            "training split: leave it out"
        )
