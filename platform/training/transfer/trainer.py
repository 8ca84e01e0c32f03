"""The loop of a transfer job, the same in this process and in each worker of Ray Train."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import torch

from metaray.algorithms.algorithm import State
from metaray.platform.common.errors import NonFiniteError
from metaray.platform.run.checkpoint import Checkpoint, part_of
from metaray.platform.training.loop import due
from metaray.platform.training.meta.messages import gpu_figures
from metaray.platform.training.meta.worker import gpu_memory
from metaray.platform.training.transfer.blueprint import TransferBlueprint
from metaray.platform.training.transfer.communicator import Communicator
from metaray.platform.training.transfer.evaluator import Evaluator
from metaray.platform.training.transfer.initialization import buffers_of, state_tensors
from metaray.platform.training.transfer.optimizer import FlatOptimizer
from metaray.platform.training.transfer.predictor import BatchPredictor
from metaray.platform.training.transfer.schedule import lr_at
from metaray.platform.training.transfer.step import BatchGradient, Gradient
from metaray.platform.training.writer import Row, RunWriter

STATISTICS_MOMENTUM = 0.1
"""share of a batch in running statistics, as everywhere in metaray"""


class Trainer:
    """Trains from the keeper's newest checkpoint to the end, and tests."""

    def __init__(
        self,
        blueprint: TransferBlueprint,
        world: Communicator,
        device: torch.device,
        keeper: RunWriter,
    ) -> None:
        self._blueprint = blueprint
        self._objective = blueprint.objective
        self._train = blueprint.config.train
        self._world = world
        self._device = device
        self._keeper = keeper
        self._gradient = BatchGradient(blueprint, world, device)
        evaluator = BatchPredictor(
            world, device, blueprint.dtype, blueprint.config.evaluate.batch_size
        )
        self._assessment = Evaluator(blueprint, evaluator)
        self._stop = False
        start = keeper.latest()
        self._step = self._validated_at = start.step
        self._best_step, self._best_score = start.best_step, start.best_score
        self._wall_before, self._started = start.wall_s, perf_counter()
        self._restore_state(start)
        self._optimizer = FlatOptimizer(
            self._flat, blueprint.param_layout, self._objective, self._train
        )
        self._optimizer.load(part_of(start.tensors, "optimizer."))
        if world.rank == 0:
            keeper.begin(start.step)

    def run(self) -> bool:
        """Train, unless all is done already, and test; True where it was asked to stop first."""
        if self._step == 0:
            self._before()
        stopped = self.train()
        if not stopped:
            self.test()
        return stopped

    def train(self) -> bool:
        """Train to the end, without a test; True where it was asked to stop first."""
        stopped = False
        while not (self._finished() or stopped):
            stopped = self._one_step()
        if not stopped and self._blueprint.validate_every and self._validated_at != self._step:
            self._validate()
        self._save()
        return stopped

    def test(self) -> None:
        """Test what was trained: the best on validation, or the last."""
        use_best = self._blueprint.config.evaluate.checkpoint == "best"
        if use_best and self._best_step is not None and self._best_step != self._step:
            self._restore_state(self._keeper.load(self._best_step))
        figures, columns = self._assessment.test(self._state())
        self._result("test", figures, columns)

    def test_start(self, start: Checkpoint) -> None:
        """Test what training began with; after ``test``, since it goes back there."""
        self._restore_state(start)
        self._before()

    def _before(self) -> None:
        self._result("before", self._assessment.before(self._state()), {})

    def _finished(self) -> bool:
        every = self._blueprint.validate_every
        if self._train.patience and self._best_step is not None and every:
            waited = (self._validated_at - self._best_step) / every
            if waited >= self._train.patience:
                return True
        return self._step >= self._blueprint.steps

    def _one_step(self) -> bool:
        """One step; whether the job was asked to stop."""
        started = perf_counter()
        gradient, norm, lr, update_s = self._update()
        step_s = perf_counter() - started
        split = {
            "sample_s": gradient.sample_s,
            "compute_s": step_s - update_s - gradient.sample_s - gradient.transfer_s,
            "transfer_s": gradient.transfer_s,
            "update_s": update_s,
        }
        self._step += 1
        examples = self._blueprint.batch_size
        row: Row = {
            "step": self._step,
            **gradient.figures,
            "grad_norm": norm,
            "lr": lr,
            "epoch": self._step / self._blueprint.steps_per_epoch,
            "examples": examples,
            "examples_per_s": examples / step_s,
            "step_s": step_s,
            **split,
            **gpu_figures([gpu_memory(self._device)]),
            "workers": self._world.size,
            "wall_s": self._wall_s(),
        }
        if due(self._step, self._blueprint.validate_every, self._blueprint.steps):
            row |= self._validate()
        if self._world.rank == 0:
            self._stop = self._keeper.record(row)
        if due(self._step, self._train.checkpoint_every, self._blueprint.steps):
            self._save()
        return gradient.flagged

    def _update(self) -> tuple[Gradient, float, float, float]:
        """Gradient, check, optimizer, statistics: all processes do the same.

        With the gradient: its norm, the learning rate, and the seconds of all that follows it.
        """
        step, objective = self._step, self._objective
        progress = self._blueprint.progress(step)
        with torch.no_grad():
            buffers = objective.begin_step(self._state()).buffers
        factors = objective.groups(progress)
        gradient = self._gradient.of(self._flat, buffers, step, factors, self._stop)
        computed = perf_counter()
        norm = float(torch.linalg.vector_norm(gradient.flat))
        self._check_finite(gradient, norm)
        if self._train.clip_norm is not None and norm > self._train.clip_norm:
            gradient.flat.mul_(self._train.clip_norm / norm)
        lr = lr_at(step, self._blueprint.steps, self._train)
        self._optimizer.step(gradient.flat, lr, factors)
        with torch.no_grad():
            keep = 1 - STATISTICS_MOMENTUM
            moved = {
                name: keep * buffers[name] + STATISTICS_MOMENTUM * value.to(buffers[name])
                for name, value in gradient.seen.items()
            }
            self._buffers = {**buffers, **moved}
            self._buffers = objective.end_step(self._state(), gradient.outputs)
        return gradient, norm, lr, perf_counter() - computed

    def _check_finite(self, gradient: Gradient, norm: float) -> None:
        loss = gradient.figures.get("loss", 0.0)
        total = torch.tensor([norm, loss])
        if not bool(torch.isfinite(total).all()):
            raise NonFiniteError(
                f"the gradient of step {self._step} is not finite (loss {loss:g}, norm {norm:g}), "
                "nothing was updated: lower train.lr or set train.clip_norm"
            )

    def _validate(self) -> dict[str, float]:
        figures = self._assessment.validate(self._state())
        self._validated_at = self._step
        score = figures["val_accuracy"]
        if self._best_score is None or score > self._best_score:
            self._best_step, self._best_score = self._step, score
            self._save()
        return figures

    def _result(self, name: str, figures: dict[str, Any], columns: dict[str, Any]) -> None:
        if self._world.rank == 0:
            self._keeper.result(name, figures, columns)

    def _save(self) -> None:
        """The state as a checkpoint, which the first process hands to the keeper."""
        checkpoint = Checkpoint(
            step=self._step,
            tensors=state_tensors(self._flat, self._buffers)
            | {f"optimizer.{name}": slot for name, slot in self._optimizer.slots().items()},
            best_step=self._best_step,
            best_score=self._best_score,
            wall_s=self._wall_s(),
        )
        if self._world.rank == 0:
            self._keeper.save(checkpoint)

    def _restore_state(self, checkpoint: Checkpoint) -> None:
        self._flat = checkpoint.tensors["params"].to(self._device, copy=True)
        self._buffers = {
            name: value.to(self._device, copy=True)
            for name, value in buffers_of(checkpoint).items()
        }

    def _state(self) -> State:
        return State(self._blueprint.param_layout.unflatten(self._flat), self._buffers)

    def _wall_s(self) -> float:
        return self._wall_before + perf_counter() - self._started
