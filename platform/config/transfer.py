"""The settings of a transfer job, nested and frozen."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self, override

from metaray.algorithms.configs import ModelConfig, Section
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.registry import MODELS
from metaray.algorithms.outer_loop_registry import OUTSIDE_OPTIMIZERS, OUTSIDE_SCHEDULES, one_of
from metaray.algorithms.plugins import located
from metaray.algorithms.transfer.domain_config import DomainConfig
from metaray.algorithms.transfer.finetune_config import FinetuneConfig
from metaray.algorithms.transfer.job_section import JobSection
from metaray.algorithms.transfer.recipes import transfer_defaults
from metaray.algorithms.transfer.registry import JOBS
from metaray.platform.config.monitoring import MonitoringConfig
from metaray.platform.config.schema import ComputeConfig, ExperimentConfig, InitConfig
from metaray.platform.config.tree import Tree, get


class TransferTrainConfig(Section):
    """Batches, optimizer, schedule."""

    epochs: float = Field(20.0, gt=0)
    """passes over the training images of the source"""
    steps: int | None = Field(None, ge=1, le=1_000_000_000)
    """optimizer steps, in place of epochs"""
    time_budget_s: float | None = Field(None, gt=0)
    """stop training after this much time even if its steps are not done; then test"""
    batch_size: int = Field(64, ge=1, le=1_000_000)
    """images of each domain in a step; at most as many as the source has"""
    shard_size: int = Field(32, ge=1, le=1_000_000)
    """images computed together, and normalised together by batch norm (ghost batch norm, Hoffer
    et al. 2017); the shards of a batch are dealt to the workers, and their number does not change
    the result"""
    optimizer: Annotated[str, one_of(OUTSIDE_OPTIMIZERS, "sgd", "adam", "adamw", "lars")] = "sgd"
    """sgd and lars (You et al. 2017) with momentum"""
    lr: float = Field(0.01, gt=0)
    """learning rate after the warm-up"""
    momentum: float = Field(0.9, ge=0, lt=1)
    """of sgd and lars"""
    weight_decay: float = Field(1e-4, ge=0)
    """of all weights but those of norms and biases"""
    schedule: Annotated[str, one_of(OUTSIDE_SCHEDULES, "constant", "cosine", "step", "dann")] = (
        "cosine"
    )
    """course of the learning rate after the warm-up; cosine ends at 0; dann falls as
    lr / (1 + 10 p)^0.75 with the share p of training that is done (Ganin et al. 2016)"""
    warmup: float = Field(0.0, ge=0, lt=1)
    """share of the training in which the learning rate rises linearly"""
    lr_steps: tuple[float, ...] = (0.5, 0.75)
    """step schedule: shares of the training at which the rate is reduced"""
    lr_step_factor: float = Field(0.1, gt=0, le=1)
    """step schedule: factor of each reduction"""
    clip_norm: float | None = Field(None, gt=0)
    """the gradient is scaled down to at most this norm"""
    validate_every: int | None = Field(None, ge=0)
    """steps between validations; 0: never (the last weights are tested); default each epoch, and
    at most 50 times"""
    patience: int = Field(0, ge=0)
    """early stopping: validations without improvement after which training ends; 0: never"""
    checkpoint_every: int = Field(100, ge=1)
    """steps between checkpoints; the last step always has one"""
    keep_checkpoints: int = Field(2, ge=1)
    """newest checkpoints kept, beside the best on validation"""


class TransferWorkersConfig(ComputeConfig):
    """Workers of Ray Train, each in its own process."""

    min_count: int | None = Field(None, ge=1, le=10_000)
    """start with as few workers where there is no room for all, and let more join later; all
    that are asked for must have room unless set"""

    @property
    @override
    def fewest(self) -> int:
        return self.count if self.min_count is None else self.min_count


class TransferEvaluateConfig(Section):
    """The test."""

    batch_size: int = Field(256, ge=1, le=1_000_000)
    """images predicted together"""
    checkpoint: Literal["best", "last"] = "best"
    """weights to test: best on validation, or those of the last step"""
    references: tuple[str, ...] = ()
    """other jobs to train under the same budget and to compare with; which there are depends on
    the job (`metaray transfer JOB --help`)"""


class TransferConfig(ExperimentConfig):
    """Everything that determines a transfer job."""

    kind = "transfer"
    section = "job"
    places = ("data.root", "data.cache", "data.download", "target.root", "target.cache")
    inputs = (
        *("data.root", "data.split_lists", "target.root", "target.split_lists"),
        *("init.checkpoint", "job.teacher", "model.weights"),
    )

    seed: int = Field(0, ge=0)
    """root of every random choice"""
    job: Annotated[JobSection, JOBS] = FinetuneConfig()
    data: DomainConfig = DomainConfig()
    target: DomainConfig | None = None
    """the other domain: the test is there, and jobs that adapt see its images without labels"""
    model: Annotated[ModelConfig, MODELS] = ModelConfig()
    init: InitConfig = InitConfig()
    train: TransferTrainConfig = TransferTrainConfig()
    workers: TransferWorkersConfig = TransferWorkersConfig()
    evaluate: TransferEvaluateConfig = TransferEvaluateConfig()
    monitoring: MonitoringConfig = MonitoringConfig()

    in_command: ClassVar[tuple[str, ...]] = ("job.name",)

    @classmethod
    @override
    def defaults(cls, user: Tree) -> Mapping[str, Any]:
        default = cls()
        job = get(user, "job.name", default.job.name)
        chosen = {"job.name": job}
        if not isinstance(job, str):
            return chosen  # validation says what is wrong
        is_timed = get(user, "train.epochs", None) is not None
        few_labels = get(user, "data.labels_per_class", None) is not None and not is_timed
        trained = get(user, "init.checkpoint", None) or get(user, "model.weights", None)
        norm_is_free = not trained and get(user, "model.name", None) != "mlp"
        recipe = transfer_defaults(JOBS[located(job)], few_labels, norm_is_free)
        if get(user, "train.steps", None) is not None:
            recipe.pop("train.epochs", None)
        return chosen | recipe

    @property
    @override
    def identity(self) -> list[str]:
        return ["job.name", "data.name", *(["target.name"] if self.target else [])]

    @property
    @override
    def command(self) -> str:
        return f"metaray transfer {shlex.quote(self.job.name)}"

    @property
    @override
    def without_effect(self) -> tuple[str, ...]:
        return () if self.train.steps is None else ("train.epochs",)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.job.needs_target and self.target is None:
            raise InputError(
                f"{self.job.name} needs a second domain: set target.name, and target.root where "
                "it is raw data"
            )
        if self.init.checkpoint and self.model.weights:
            raise InputError(
                "init.checkpoint and model.weights both say where the network starts: leave out one"
            )
        self._check_train()
        self._check_references()
        low = self.workers.min_count
        if low is not None and low >= self.workers.count:
            raise InputError(
                f"workers.min_count = {low} is not fewer than workers.count = "
                f"{self.workers.count}: lower it or leave it out"
            )
        return self

    @property
    def tests_target(self) -> bool:
        """Whether the test is on the target: there is one, and it has the classes of the source."""
        return self.target is not None and self.job.shares_classes

    def _check_train(self) -> None:
        """No setting without effect."""
        train, default = self.train, TransferTrainConfig()
        for keys, matters, other in (
            (("momentum",), train.optimizer in ("sgd", "lars"), f"optimizer {train.optimizer}"),
            (
                ("lr_steps", "lr_step_factor"),
                train.schedule == "step",
                f"schedule {train.schedule}",
            ),
            (("epochs",), train.steps is None, "training of train.steps"),
        ):
            for key in keys:
                if not matters and getattr(train, key) != getattr(default, key):
                    raise InputError(f"train.{key} has no effect on the {other}: leave it out")
        if train.patience and train.validate_every == 0:
            raise InputError("train.patience needs validations: set train.validate_every")

    def _check_references(self) -> None:
        for name in self.evaluate.references:
            if name not in self.job.references:
                known = ", ".join(self.job.references) or "none"
                raise InputError(
                    f"evaluate.references: {self.job.name} has no reference {name!r}, known are "
                    f"{known}"
                )
            if name == "target_supervised" and not self.tests_target:
                raise InputError(
                    "evaluate.references: target_supervised needs a target with the classes of "
                    "the source: set target.name, or leave it out"
                )
