"""What a meta-test says of each class: its accuracy, and how far the mean reaches beyond them."""

from __future__ import annotations

from typing import Any

import numpy as np

from metaray.algorithms.class_interval import class_accuracies
from metaray.algorithms.episode import TaskSpec
from metaray.algorithms.tasks.image_episodes import ImageEpisodes
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.config.meta import RunConfig
from metaray.platform.training.meta.metrics import MetaTest

_MOST_NAMED = 200


def class_results(test: MetaTest, config: RunConfig, source: EpisodeSource) -> dict[str, Any]:
    """The keys that a summary has of classes; none for regression.

    ``num_test_classes`` were asked for, ``classes_ci95`` is half the interval over them, and
    ``class_accuracy`` is by name, of up to 200 classes. Turns of a class count as that class.
    """
    if test.hits is None or test.labels is None:
        return {}
    numbers: dict[str, int] = {}
    classes, images = np.empty_like(test.labels), np.empty_like(test.labels)
    for index, labels in enumerate(test.labels):
        spec = TaskSpec(split="test", index=index, seed=config.seed, shape=config.test_shape)
        names, shown = _behind(source, spec, index, labels.shape)
        known = np.array([numbers.setdefault(name, len(numbers)) for name in names])
        classes[index], images[index] = known[labels], shown
    # of a class that was drawn, queries are always asked for
    found = class_accuracies(test.hits.ravel(), classes.ravel(), images.ravel())
    by_name = dict(zip(numbers, found.accuracy.tolist(), strict=True))
    few = len(numbers) <= _MOST_NAMED
    return {
        "num_test_classes": len(numbers),
        "classes_ci95": found.ci95,
        "class_accuracy": dict(sorted(by_name.items(), key=lambda pair: pair[1])) if few else None,
    }


def _behind(
    source: EpisodeSource, spec: TaskSpec, index: int, shape: tuple[int, ...]
) -> tuple[list[str], Any]:
    """The class behind each label, and which of its images each query is.

    A source of a plug-in does not say which: there each query counts as another image.
    """
    if isinstance(source, ImageEpisodes):
        return source.queries_of(spec)
    return source.describe(spec), np.arange(shape[0]) + index * shape[0]
