"""Meta-training in the outer loop: shards on the workers of a pool, their sums to a learner."""

from __future__ import annotations

from time import perf_counter

from typing_extensions import override

from metaray.platform.config.meta import RunConfig
from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.run.metrics_log import MetricsRow
from metaray.platform.training.device import gpu_metrics
from metaray.platform.training.executor import Executor, Signal, StepOutcome
from metaray.platform.training.loop import LoopSettings
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.messages import train_requests
from metaray.platform.training.meta.pool import Pool, StepResult


class ShardSumExecutor(Executor):
    """Steps of a pool. A shard of a lost worker is computed again by another."""

    def __init__(self, pool: Pool, blueprint: Blueprint) -> None:
        self._pool = pool
        self._blueprint = blueprint
        self._train = blueprint.config.train

    @override
    def step(self, step: int, signal: Signal) -> StepOutcome:
        started = perf_counter()
        result = self._pool.train_step(train_requests(step, self._train))
        return StepOutcome(self._row(result, perf_counter() - started))

    @override
    def validate(self) -> MetricsRow:
        test = evaluate(self._pool, self._blueprint, "val", self._train.validate_episodes)
        metrics, name = test.headline(), test.score_name
        return {
            "val_loss": metrics["loss"],
            f"val_{name}": metrics[name],
            "val_ci95": metrics["ci95"],
        }

    @override
    def snapshot(self) -> Checkpoint:
        return self._pool.snapshot()

    @override
    def restore(self, checkpoint: Checkpoint) -> None:
        self._pool.restore(checkpoint)

    @override
    def resize(self, count: int) -> None:
        self._pool.resize(count)

    def _row(self, result: StepResult, step_s: float) -> MetricsRow:
        tasks = sum(shard.num_tasks for shard in result.shards)
        sums: dict[str, float] = {}
        for shard in result.shards:
            for name, value in shard.metrics.items():
                sums[name] = sums.get(name, 0.0) + value
        health = self._pool.health
        return {
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
            **gpu_metrics([shard.gpu for shard in result.shards]),
            "workers": health.alive,
            "workers_wanted": health.wanted,
            "workers_lost": health.lost,
            "shards_recomputed": result.recomputed,
        }


def loop_settings(config: RunConfig) -> LoopSettings:
    """The outer loop of a meta-training."""
    train = config.train
    return LoopSettings(
        total_steps=train.outer_steps,
        validate_every=train.validate_every,
        checkpoint_every=train.checkpoint_every,
        time_budget_s=train.time_budget_s,
        patience=train.patience,
        max_restarts=config.workers.max_restarts,
    )
