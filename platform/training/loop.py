"""The outer loop: orders out, an update, a line in the log, now and then a validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from time import perf_counter, sleep
from typing import Any

from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.common.errors import LearnerLostError, WorkersLostError
from metaray.platform.config.schema import TrainConfig
from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.messages import TrainRequest, gpu_figures
from metaray.platform.training.meta.pool import Pool, StepResult

Row = dict[str, Any]


class TrainingLoop:
    """Runs a pool from its checkpoint to the last outer step."""

    def __init__(
        self,
        pool: Pool,
        blueprint: Blueprint,
        store: CheckpointStore,
        log: MetricsLog,
        callbacks: CallbackList,
        wanted_workers: Callable[[], int | None] = lambda: None,
    ) -> None:
        """``wanted_workers`` is asked between steps: a new number of workers, or None."""
        self._pool = pool
        self._blueprint = blueprint
        self._train = blueprint.config.train
        self._store = store
        self._log = log
        self._callbacks = callbacks
        self._wanted_workers = wanted_workers
        self._step = 0
        self._best_step: int | None = None
        self._best_score: float | None = None
        self._wall_before = 0.0
        self._started = perf_counter()
        self._learners_lost = 0
        self._validated_at = 0

    def run(self) -> Checkpoint:
        """Train to the last step, the end of the time budget or a requested stop.

        Returns the checkpoint of the end.
        """
        self._rewind()
        while not self._finished() and not self._callbacks.stop.requested():
            count = self._wanted_workers()
            if count is not None:
                self._pool.resize(count)
            try:
                self._one_step()
            except LearnerLostError as error:
                self._replace_learner(error)
        if not self._callbacks.stop.requested():
            self._validate_at_last()
        return self._save()

    def _finished(self) -> bool:
        budget = self._train.time_budget_s
        out_of_time = budget is not None and self._wall_s() >= budget
        return self._step >= self._train.outer_steps or out_of_time

    def _one_step(self) -> None:
        started = perf_counter()
        result = self._pool.train_step(train_requests(self._step, self._train))
        row = self._row(result, perf_counter() - started)
        self._step += 1
        if due(self._step, self._train.validate_every, self._train.outer_steps):
            row |= self._validate()
        self._log.append(row)
        self._callbacks.on_step(row)
        if due(self._step, self._train.checkpoint_every, self._train.outer_steps):
            self._save()

    def _row(self, result: StepResult, step_s: float) -> Row:
        tasks = sum(shard.num_tasks for shard in result.shards)
        sums: dict[str, float] = {}
        for shard in result.shards:
            for name, value in shard.figures.items():
                sums[name] = sums.get(name, 0.0) + value
        return {
            "step": self._step + 1,
            **{name: value / tasks for name, value in sums.items()},
            "grad_norm": result.update.grad_norm,
            "meta_lr": result.update.meta_lr,
            "tasks": tasks,
            "tasks_per_s": tasks / step_s,
            "step_s": step_s,
            "sample_s": sum(shard.sample_s for shard in result.shards),
            "compute_s": sum(shard.compute_s for shard in result.shards),
            "transfer_s": result.transfer_s,
            "update_s": result.update.update_s,
            "queue_depth": result.queue_depth,
            **gpu_figures([shard.gpu for shard in result.shards]),
            "workers": self._pool.health.alive,
            "workers_wanted": self._pool.health.wanted,
            "workers_lost": self._pool.health.lost,
            "shards_recomputed": result.recomputed,
            "wall_s": self._wall_s(),
        }

    def _validate_at_last(self) -> None:
        """A time budget ends between validations, and the last parameters may be the best."""
        if self._step and self._train.validate_every and self._validated_at != self._step:
            self._validate()

    def _validate(self) -> Row:
        test = evaluate(self._pool, self._blueprint, "val", self._train.validate_episodes)
        figures = test.headline()
        self._validated_at = self._step
        accuracy = figures["accuracy"]
        score = accuracy if accuracy is not None else -figures["mse"]
        if self._best_score is None or score > self._best_score:
            self._best_step, self._best_score = self._step, score
            self._save()
        named = {"val_accuracy": accuracy} if accuracy is not None else {"val_mse": figures["mse"]}
        return {"val_loss": figures["loss"], **named, "val_ci95": figures["ci95"]}

    def _save(self) -> Checkpoint:
        checkpoint = replace(
            self._pool.snapshot(),
            best_step=self._best_step,
            best_score=self._best_score,
            wall_s=self._wall_s(),
        )
        self._log.sync()
        self._store.save(checkpoint)
        return checkpoint

    def _rewind(self) -> None:
        """Take up the newest checkpoint, and drop log rows of steps that come again."""
        checkpoint = self._store.latest()
        if checkpoint is not None:
            self._pool.restore(checkpoint)
            self._step = self._validated_at = checkpoint.step
            self._best_step, self._best_score = checkpoint.best_step, checkpoint.best_score
            self._wall_before = checkpoint.wall_s
        self._started = perf_counter()
        self._log.truncate_after(self._step)
        if checkpoint is None:
            self._save()  # so that even the first interval can be resumed

    def _replace_learner(self, error: LearnerLostError) -> None:
        """Go on with another one; where its node was lost, Ray may place that one there too."""
        limit = self._blueprint.config.workers.max_restarts
        for attempt in count(1):
            self._learners_lost += 1
            if self._learners_lost > limit:
                raise WorkersLostError(
                    f"lost the learner {self._learners_lost} times (workers.max_restarts = {limit};"
                    f" the last: {error}): look for lack of memory, then continue with --resume"
                ) from error
            try:
                self._rewind()
            except LearnerLostError as again:
                error = again
                sleep(attempt)
            else:
                break
        self._callbacks.notify(f"the learner was lost and continues from step {self._step}")

    def _wall_s(self) -> float:
        return self._wall_before + perf_counter() - self._started


def train_requests(step: int, train: TrainConfig) -> list[TrainRequest]:
    """The shards of one outer step: fixed by the config, whatever the number of workers."""
    first = step * train.meta_batch_size
    return [
        TrainRequest(
            step=step,
            shard=shard,
            first_task=first + offset,
            num_tasks=min(train.shard_size, train.meta_batch_size - offset),
        )
        for shard, offset in enumerate(range(0, train.meta_batch_size, train.shard_size))
    ]


def due(step: int, every: int, last: int) -> bool:
    """Whether something done every ``every`` steps (0: never) and at the end is due at ``step``."""
    return every > 0 and (step % every == 0 or step == last)
