"""A transfer job from its newest checkpoint to its test, the same in each of its processes."""

from __future__ import annotations

from typing import Any

import torch

from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.training.loop import LoopResult, LoopSettings, OuterLoop
from metaray.platform.training.transfer.blueprint import TransferBlueprint
from metaray.platform.training.transfer.communicator import Communicator
from metaray.platform.training.transfer.evaluator import Evaluator
from metaray.platform.training.transfer.executor import GroupExecutor
from metaray.platform.training.transfer.predictor import BatchPredictor
from metaray.platform.training.writer import ReadOnlyRunWriter, RunWriter


class Trainer:
    """Trains from the writer's newest checkpoint to the end, and tests."""

    def __init__(
        self,
        blueprint: TransferBlueprint,
        communicator: Communicator,
        device: torch.device,
        writer: RunWriter,
    ) -> None:
        config = blueprint.config
        leads = communicator.rank == 0
        predictor = BatchPredictor(
            communicator, device, blueprint.dtype, config.evaluate.batch_size
        )
        self._tests_best = config.evaluate.checkpoint == "best"
        self._settings = loop_settings(blueprint, leads)
        self._writer = writer if leads else ReadOnlyRunWriter(writer)
        self._evaluator = Evaluator(blueprint, predictor)
        self._executor = GroupExecutor(blueprint, communicator, device, self._evaluator)

    def run(self) -> bool:
        """Train, unless all is done already, and test; True where it was asked to stop first."""
        start = self._writer.latest()
        if start is not None and start.step == 0:
            self.test_before(start)
        result = self.train()
        if not result.stopped:
            self.test(result.checkpoint)
        return result.stopped

    def train(self) -> LoopResult:
        """Train to the end, without a test."""
        return OuterLoop(self._executor, self._writer, self._settings).run()

    def test(self, last: Checkpoint) -> None:
        """Test what was trained up to ``last``: the best on validation, or the last."""
        best = last.best_step if self._tests_best else None
        if best is None or best == last.step:  # another process may still be writing it
            self._executor.restore(last)
        else:
            self._executor.restore(self._writer.load(best))
        metrics, columns = self._evaluator.test(self._executor.state)
        self._writer.result("test", metrics, columns)

    def test_before(self, start: Checkpoint) -> None:
        """Test what training begins with."""
        self._executor.restore(start)
        metrics: dict[str, Any] = self._evaluator.before(self._executor.state)
        self._writer.result("before", metrics, {})


def loop_settings(blueprint: TransferBlueprint, leads: bool) -> LoopSettings:
    """The outer loop of a process of a job; the one that ``leads`` watches the clock for all."""
    train = blueprint.config.train
    return LoopSettings(
        total_steps=blueprint.steps,
        validate_every=blueprint.validate_every,
        checkpoint_every=train.checkpoint_every,
        time_budget_s=train.time_budget_s if leads else None,
        patience=train.patience,
    )
