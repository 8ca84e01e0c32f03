"""The learning rate as a pure function of the step, so that a resumed run cannot drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi

from metaray.algorithms.outer_loop_registry import rate_factor
from metaray.platform.config.meta import TrainConfig
from metaray.platform.config.transfer import TransferTrainConfig


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over a training of ``total_steps``."""

    name: str
    """one of ``SCHEDULES``, or that of a plug-in"""
    lr: float
    """the rate after the warm-up"""
    total_steps: int
    warmup: float = 0.0
    """share of the training in which the rate rises linearly"""
    end_lr: float = 0.0
    """where linear and cosine end"""
    reduce_every: int | None = None
    """step: steps between reductions"""
    reduce_at: tuple[float, ...] = ()
    """step: shares of the training at which the rate is reduced"""
    factor: float = 1.0
    """step: factor of each reduction"""

    def at(self, step: int) -> float:
        """The learning rate of ``step`` (0-based)."""
        warm = round(self.warmup * self.total_steps)
        if step < warm:
            return self.lr * (step + 1) / (warm + 1)
        progress = (step - warm) / max(1, self.total_steps - warm)
        if self.name in SCHEDULES:
            return float(SCHEDULES[self.name](self, step - warm, progress))
        return self.lr * rate_factor(self.name, progress)

    @property
    def looks_ahead(self) -> bool:
        """Whether a rate depends on how many steps are planned."""
        by_step = self.name == "constant" or (self.name == "step" and not self.reduce_at)
        return self.warmup > 0 or not by_step


def meta_schedule(train: TrainConfig) -> Schedule:
    """That of a meta-training."""
    return Schedule(
        name=train.schedule,
        lr=train.meta_lr,
        total_steps=train.outer_steps,
        warmup=train.warmup,
        end_lr=train.min_meta_lr,
        reduce_every=train.lr_step_every,
        factor=train.lr_step_factor,
    )


def transfer_schedule(train: TransferTrainConfig, total_steps: int) -> Schedule:
    """That of a transfer job, whose number of steps may follow from its data."""
    return Schedule(
        name=train.schedule,
        lr=train.lr,
        total_steps=total_steps,
        warmup=train.warmup,
        reduce_at=train.lr_steps,
        factor=train.lr_step_factor,
    )


def _constant(schedule: Schedule, step: int, progress: float) -> float:
    return schedule.lr


def _linear(schedule: Schedule, step: int, progress: float) -> float:
    return schedule.end_lr + (schedule.lr - schedule.end_lr) * (1 - progress)


def _cosine(schedule: Schedule, step: int, progress: float) -> float:
    return schedule.end_lr + (schedule.lr - schedule.end_lr) * ((1 + cos(pi * progress)) / 2)


def _step(schedule: Schedule, step: int, progress: float) -> float:
    every = schedule.reduce_every
    done = sum(progress >= at for at in schedule.reduce_at) if every is None else step // every
    return float(schedule.lr * schedule.factor**done)


def _dann(schedule: Schedule, step: int, progress: float) -> float:
    """Ganin et al. 2016, section 5.2."""
    return float(schedule.lr / (1 + 10 * progress) ** 0.75)


SCHEDULES: Mapping[str, Callable[[Schedule, int, float], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "step": _step,
    "dann": _dann,
}
"""The rate after the warm-up, from the schedule, the steps since, and the share of them."""
