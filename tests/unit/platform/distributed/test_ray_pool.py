"""The pool on Ray, with a learner that is only asked questions."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError

from metaray.platform.common.errors import LearnerLostError
from metaray.platform.config.meta import WorkersConfig
from metaray.platform.distributed import ray_pool
from metaray.platform.distributed.patience import Patience


class _Learner:
    """Counts what it is asked; answers are the references themselves."""

    def __init__(self, answer: Any) -> None:
        self.asked: list[str] = []
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        class Method:
            @staticmethod
            def remote() -> Any:
                self.asked.append(name)
                return self._answer

        return Method


def pool_of(learner: _Learner, monkeypatch: pytest.MonkeyPatch) -> ray_pool.RayPool:
    pool = ray_pool.RayPool.__new__(ray_pool.RayPool)
    monkeypatch.setattr(pool, "_learner", learner, raising=False)
    monkeypatch.setattr(pool, "_patience", Patience(WorkersConfig()), raising=False)

    def get(reference: Any, timeout: float) -> Any:
        if isinstance(reference, Exception):
            raise reference
        return reference

    monkeypatch.setattr(ray_pool.ray, "get", get)
    return pool


def test_whether_the_learner_lives_is_asked_without_its_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = ActorDiedError()
    alive = _Learner(answer=1)
    with pytest.raises(ActorDiedError):  # something that it was sent is lost, not the learner
        pool_of(alive, monkeypatch)._ask_learner(lost, was_sent=True)
    dead = _Learner(answer=lost)
    with pytest.raises(LearnerLostError):
        pool_of(dead, monkeypatch)._ask_learner(lost, was_sent=True)
    assert alive.asked == dead.asked == ["place"]


def test_an_answer_of_the_learner_that_is_lost_counts_as_its_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing was sent that could be lost in its place: its node is about to go."""
    pool = pool_of(_Learner(answer=1), monkeypatch)
    with pytest.raises(LearnerLostError):
        pool._ask_learner(ActorDiedError())


def test_a_learner_that_may_have_updated_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection was lost, and with it whether the step was done, or will be."""
    pool, ended = pool_of(_Learner(answer=1), monkeypatch), []
    monkeypatch.setattr(pool, "_notify", ended.append, raising=False)
    monkeypatch.setattr(pool, "_learner_place", None, raising=False)
    monkeypatch.setattr(ray_pool.ray, "kill", ended.append)
    with pytest.raises(LearnerLostError):
        pool._ask_learner(ActorUnavailableError("gone", None), was_sent=True)
    assert ended == ["the learner is replaced: the connection to it was lost", pool._learner]
