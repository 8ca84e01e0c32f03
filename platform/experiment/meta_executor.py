"""Meta-training and meta-test on a pool of workers."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import override

from metaray.platform.experiment.meta_state import flat_state
from metaray.platform.experiment.session import Executor
from metaray.platform.run.calibration import Calibration
from metaray.platform.run.worker_requests import WorkerRequests
from metaray.platform.training.loop import OuterLoop
from metaray.platform.training.meta.calibration import calibrate, num_calibration_episodes
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.executor import ShardSumExecutor, loop_settings
from metaray.platform.training.meta.messages import FlatState
from metaray.platform.training.meta.metrics import MetaTest
from metaray.platform.training.meta.pool import Pool
from metaray.platform.training.writer import LocalRunWriter

if TYPE_CHECKING:
    from metaray.platform.experiment.meta_session import MetaSession


@dataclass(frozen=True, kw_only=True)
class MetaResult:
    """A meta-test."""

    step: int
    """the outer step whose parameters were tested"""
    state: FlatState
    """those parameters, and buffers"""
    test: MetaTest
    """of them"""
    baseline: MetaTest
    """of the untrained network, on the same episodes"""
    calibration: Calibration | None = None
    """of the tested parameters, on validation episodes; None where there is no such split"""


class MetaExecutor(Executor):
    """Computes a run on ``pool``."""

    def __init__(self, session: MetaSession, pool: Pool) -> None:
        self._session = session
        self._pool = pool

    @override
    def train(self) -> bool:
        session = self._session
        with (
            session.callbacks.training(),
            closing(LocalRunWriter(session.run, session.checkpoints, session.callbacks)) as writer,
        ):
            executor = ShardSumExecutor(self._pool, session.blueprint)
            requests = WorkerRequests(session.run, session.callbacks.notify)
            settings = loop_settings(session.config)
            _, stopped = OuterLoop(executor, writer, settings, requests.poll).run()
        return stopped

    @override
    def evaluate(self) -> MetaResult:
        session, last = self._session, self._session.last
        chosen = session.best if session.config.evaluate.checkpoint == "best" else last
        state, num = flat_state(chosen), session.config.evaluate.num_episodes
        blueprint = session.blueprint
        # on other data than that of the training, validation classes are none of the run's
        own = session.config.data == session.trained.data
        calibrated = num_calibration_episodes(blueprint) if own else 0
        untrained = blueprint.initial_flat
        is_untrained = np.array_equal(state, untrained)
        tested = num if is_untrained else 2 * num
        with session.callbacks.evaluating(tested + calibrated) as advance:
            baseline = test = evaluate(self._pool, blueprint, "test", num, state, advance)
            if not is_untrained:
                baseline = evaluate(self._pool, blueprint, "test", num, untrained, advance)
            found = (
                calibrate(self._pool, blueprint, chosen.step, state, advance)
                if calibrated
                else None
            )
        return MetaResult(
            step=chosen.step, state=state, test=test, baseline=baseline, calibration=found
        )
