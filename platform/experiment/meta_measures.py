"""What a comparison wants to know of a meta-trained model beside its meta-test."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from metaray.algorithms.episode_shape import EpisodeShape, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config.loading import override
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.adaptation import adaptation_time
from metaray.platform.experiment.comparison import Curves
from metaray.platform.experiment.meta_curves import shapes_of
from metaray.platform.experiment.meta_session import MetaSession
from metaray.platform.experiment.meta_state import fingerprint
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.messages import FlatState
from metaray.platform.training.meta.pool import LocalPool

_HASHED_EPISODES = 100


def measures(session: MetaSession, curves: Curves, callbacks: CallbackList) -> dict[str, Any]:
    """See ``Comparable.measure``."""
    state = session.tested_state()
    with callbacks.evaluating(len(shapes_of(session.config, curves)) * curves.episodes) as done:
        return {
            "adaptation_s": adaptation_time(session, state, "test"),
            "episodes_sha256": episodes_sha256(session),
            "curve": curve(session, state, curves, done),
        }


def episodes_sha256(session: MetaSession) -> str:
    """Of the tensors of the first 100 test episodes: the same for runs that saw the same ones."""
    config = session.config
    digest = sha256()
    for index in range(min(_HASHED_EPISODES, config.evaluate.num_episodes)):
        spec = TaskSpec(split="test", index=index, seed=config.seed, shape=config.test_shape)
        for tensor in session.source.sample(spec):
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def curve(
    session: MetaSession, state: FlatState, curves: Curves, done: Callable[[int], None]
) -> list[dict[str, Any]]:
    """The score at every shape that the model can be tested at, with its 95 % interval.

    A shape at which it cannot be is there with the reason as ``left_out``.
    """
    points: list[dict[str, Any]] = []
    for shape in shapes_of(session.config, curves):
        point: dict[str, Any] = {"ways": shape.ways, "shots": shape.shots, "queries": shape.queries}
        try:
            point |= _score(session, state, shape, curves.episodes, done)
        except InputError as error:
            point["left_out"] = str(error)
        points.append(point)
    return points


def _score(
    session: MetaSession,
    state: FlatState,
    shape: EpisodeShape,
    episodes: int,
    done: Callable[[int], None],
) -> dict[str, Any]:
    config = _at_shape(session.config, shape, episodes)
    blueprint = Blueprint(config, session.source)
    if fingerprint(blueprint) != fingerprint(session.blueprint):
        raise InputError("the parameters have another shape there, so they would not fit")
    test = evaluate(LocalPool(blueprint), blueprint, "test", episodes, state, done)
    figures = test.headline()
    return {"score": figures[test.score_name], "ci95": figures["ci95"], "num_episodes": episodes}


def _at_shape(config: RunConfig, shape: EpisodeShape, episodes: int) -> RunConfig:
    """In this process, without the run's workers."""
    return override(
        config,
        [
            f"task.ways={shape.ways}",
            f"task.shots={shape.shots}",
            f"task.queries={shape.queries}",
            f"evaluate.num_episodes={episodes}",
            "workers.count=0",
        ],
    )
