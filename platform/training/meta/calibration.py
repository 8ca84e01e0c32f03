"""How sure a meta-trained method may be, measured on validation episodes.

Support sets leave out some classes of the queries, so that these are of none of the classes. One
half of the episodes sets temperature and threshold, the other half says what they are worth.
Batch norm is inductive, as it is when a trained model is used: a prediction never depends on other
queries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaray.algorithms.calibration import (
    SCORES,
    Anchors,
    Score,
    best_threshold,
    fit_temperature,
    rates_at,
    separation,
)
from metaray.algorithms.errors import InputError
from metaray.platform.run.calibration import Calibration, Refusal
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.episode_source import most_ways
from metaray.platform.training.meta.evaluation import episode_requests, predictions
from metaray.platform.training.meta.messages import FlatState
from metaray.platform.training.meta.metrics import calibration_bins, expected_calibration_error
from metaray.platform.training.meta.pool import Pool

Array = NDArray[Any]

_FEWEST = 4  # episodes
_HALVES = (slice(0, None, 2), slice(1, None, 2))  # which set, and which measure


def num_calibration_episodes(blueprint: Blueprint) -> int:
    """How many episodes ``calibrate`` needs; 0 where the validation split is too small for any,
    for regression, and where shapes vary: how sure a method is depends on ways and shots, so that a
    temperature and a threshold hold for one shape."""
    config, source = blueprint.config, blueprint.source
    if config.test_shape.varying is not None:
        return 0
    if source.kind == "regression" or config.train.validate_episodes < _FEWEST:
        return 0
    try:
        source.check("val", config.test_shape)
    except InputError:
        return 0
    return config.train.validate_episodes


def calibrate(
    pool: Pool,
    blueprint: Blueprint,
    step: int,
    state: FlatState,
    done: Callable[[int], None] = lambda episodes: None,
) -> Calibration | None:
    """Temperature and threshold for the parameters of ``step``, ``state``.

    ``done`` is told how many episodes were finished. None as of ``num_calibration_episodes``.
    """
    count = num_calibration_episodes(blueprint)
    if not count:
        return None
    task = blueprint.config.task
    ways, unknown_ways = _divided(blueprint)
    requests = episode_requests(
        blueprint, "val", count, batch_norm="inductive", ways=ways, unknown_ways=unknown_ways
    )
    found = predictions(pool, requests, state, done)
    logits = found.outputs[:, -1].astype(np.float64)
    if not np.isfinite(logits).all():
        return None
    return calibration_of(logits, found.labels, task.shots, step)


def _divided(blueprint: Blueprint) -> tuple[int, int]:
    """Classes of the support sets, and further ones of the queries.

    Where validation has no more classes than an episode, and the method takes any number, one of
    them is left out, so that there is something to refuse.
    """
    task = blueprint.config.task
    ways, available = task.ways, most_ways(blueprint.source, "val", task.within_group)
    if available == ways > 2 and not blueprint.config.method.fixed_head:
        ways -= 1
    return ways, min(ways, available - ways)


def calibration_of(logits: Array, labels: Array, shots: int, step: int) -> Calibration:
    """From logits ``[E, S + Q, N]`` and labels ``[E, S + Q]`` of support images and then queries.

    Labels from N on are those of unknown classes.
    """
    ways = logits.shape[-1]
    size = ways * shots
    queries, asked = logits[:, size:], labels[:, size:]
    known = [_of_classes(queries[half], asked[half], ways) for half in _HALVES]
    temperature = fit_temperature(*known[0])
    measured, truth = known[1]
    return Calibration(
        step=step,
        ways=ways,
        shots=shots,
        num_episodes=len(logits),
        accuracy=float((measured.argmax(-1) == truth).mean()),
        temperature=temperature,
        ece_before=expected_calibration_error(calibration_bins(measured, truth)),
        ece_after=expected_calibration_error(calibration_bins(measured / temperature, truth)),
        refusal=_refusal(logits / temperature, labels, size) if (asked >= ways).any() else None,
    )


def _of_classes(logits: Array, labels: Array, ways: int) -> tuple[Array, Array]:
    """The queries of the classes, of all episodes in a row."""
    return logits[labels < ways], labels[labels < ways]


def _refusal(logits: Array, labels: Array, size: int) -> Refusal:
    """By the score that tells unknown classes best; ``size`` is that of the support set."""
    ways = logits.shape[-1]
    is_known = labels[:, size:] < ways
    scored: dict[Score, list[tuple[Array, Array]]] = {}
    for name, score in SCORES.items():
        values = np.stack(
            [
                score(one[size:], Anchors.of(one[:size], own[:size]))
                for one, own in zip(logits, labels, strict=True)
            ]
        )
        scored[name] = [
            (values[half][is_known[half]], values[half][~is_known[half]]) for half in _HALVES
        ]
    best = max(scored, key=lambda name: separation(*scored[name][0]))
    (known, unknown), measured = scored[best]
    threshold = best_threshold(known, unknown)
    rates = rates_at(threshold, *measured)
    curve = [
        (float(cut), *rates_at(float(cut), *measured))
        for cut in np.quantile(known, np.linspace(0, 0.5, 21))
    ]
    return Refusal(
        score=best,
        threshold=threshold,
        wrongly_refused=rates.wrongly_refused,
        wrongly_accepted=rates.wrongly_accepted,
        separation=separation(*measured),
        curve=tuple(curve),
    )
