"""What a meta-test says of each class: its accuracy, what it is taken for, and how far the mean
reaches beyond these classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaray.algorithms.class_interval import class_accuracies
from metaray.algorithms.episode import TaskSpec
from metaray.algorithms.tasks.class_episodes import ClassEpisodes
from metaray.algorithms.tasks.omniglot_runs import OmniglotRuns
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.config.meta import RunConfig
from metaray.platform.training.meta.metrics import MetaTest

_MOST_NAMED = 200
_MOST_IN_MATRIX = 30

Array = NDArray[Any]


def class_results(test: MetaTest, config: RunConfig, source: EpisodeSource) -> dict[str, Any]:
    """The keys that a summary has of classes; none for regression.

    ``splits`` has the sizes of the data, ``num_test_classes`` were asked for, ``classes_ci95`` is
    half the interval over them, and ``class_accuracy`` is by name, of up to 200 classes.
    ``confusion`` has, of up to 30 classes, their names and ``shares``: of the queries of a class
    (row), in the episodes that show another one (column) as well, the share that was taken for it;
    None where no episode shows both. The diagonal is the accuracy. Turns of a class count as that
    class.
    """
    if test.predicted is None or test.labels is None:
        return {}
    if isinstance(source, OmniglotRuns):  # which do not say which characters they share
        return {}
    numbers: dict[str, int] = {}
    classes, taken, images, hits = (list[Array]() for _ in range(4))
    for index, (labels, predicted) in enumerate(zip(test.labels, test.predicted, strict=True)):
        spec = TaskSpec(split="test", index=index, seed=config.seed, shape=config.test_shape)
        names, shown = _behind(source, spec, index, labels.shape)
        known = np.array([numbers.setdefault(name, len(numbers)) for name in names])
        classes.append(known[labels])
        taken.append(known[predicted])
        images.append(shown)
        hits.append(predicted == labels)
    # of a class that was drawn, queries are always asked for
    found = class_accuracies(*map(np.concatenate, (hits, classes, images)))
    by_name = dict(zip(numbers, found.accuracy.tolist(), strict=True))
    return {
        "splits": _splits(source),
        "num_test_classes": len(numbers),
        "classes_ci95": found.ci95,
        "class_accuracy": dict(sorted(by_name.items(), key=lambda pair: pair[1]))
        if len(numbers) <= _MOST_NAMED
        else None,
        "confusion": _confusion(sorted(numbers), numbers, classes, taken, found.accuracy)
        if len(numbers) <= _MOST_IN_MATRIX
        else None,
    }


def _splits(source: EpisodeSource) -> dict[str, Any] | None:
    """Classes and images of each split; None of a source that does not say."""
    if not isinstance(source, ClassEpisodes):
        return None
    return {
        split: {
            "classes": len(classes),
            "images": sum(len(source.store.images(class_id)) for class_id in classes),
        }
        for split, classes in source.splits.items()
    }


def _confusion(
    names: list[str],
    numbers: dict[str, int],
    classes: list[Array],
    taken: list[Array],
    accuracy: Array,
) -> dict[str, Any]:
    count = len(names)
    confused, together = np.zeros((2, count, count))
    for asked, answers in zip(classes, taken, strict=True):
        np.add.at(confused, (asked, answers), 1)
        present, queries = np.unique(asked, return_counts=True)
        together[np.ix_(present, present)] += queries[:, None]
    order = [numbers[name] for name in names]
    with np.errstate(invalid="ignore"):
        shares = confused / together
    np.fill_diagonal(shares, accuracy)  # two turns of a class may meet in an episode
    shares = shares[np.ix_(order, order)]
    return {
        "classes": names,
        "shares": [[None if np.isnan(x) else round(float(x), 6) for x in row] for row in shares],
    }


def _behind(
    source: EpisodeSource, spec: TaskSpec, index: int, shape: tuple[int, ...]
) -> tuple[list[str], Array]:
    """The class behind each label, and which of its images each query is.

    A source of a plug-in does not say which: there each query counts as another image.
    """
    if isinstance(source, ClassEpisodes):
        return source.queries_of(spec)
    return source.describe(spec), np.arange(shape[0]) + index * shape[0]
