"""The settings of a meta-training, nested and frozen; ``loading`` reads and resolves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self, override

from metaray.algorithms.configs import (
    BatchNormMode,
    DataConfig,
    ModelConfig,
    Section,
    TaskConfig,
)
from metaray.algorithms.episode_shape import EpisodeShape
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.maml_config import MAMLConfig
from metaray.algorithms.methods.method_section import MethodSection
from metaray.algorithms.models.registry import ANY_INPUT, MODELS
from metaray.algorithms.outer_loop_registry import OUTSIDE_OPTIMIZERS, OUTSIDE_SCHEDULES, one_of
from metaray.algorithms.plugins import is_outside, located
from metaray.algorithms.recipes.lookup import paper_defaults
from metaray.algorithms.registry import METHODS
from metaray.algorithms.tasks.registry import DATA_SETS
from metaray.platform.config.monitoring import MonitoringConfig
from metaray.platform.config.schema import ComputeConfig, ExperimentConfig, InitConfig
from metaray.platform.config.tree import Tree, get


class TrainConfig(Section):
    """The outer loop."""

    outer_steps: int = Field(600, ge=0, le=1_000_000_000)
    """updates of the meta-parameters; 0 tests what training would start from, such as the encoder
    of init.checkpoint"""
    time_budget_s: float | None = Field(None, gt=0)
    """stop training after this much time even if outer_steps are not done; then test"""
    meta_batch_size: int = Field(32, ge=1, le=100_000)
    """tasks per outer step"""
    shard_size: int = Field(8, ge=1, le=100_000)
    """tasks computed together by one worker; it fixes the order of sums, so it is part of the
    result: the number of workers is not"""
    optimizer: Annotated[str, one_of(OUTSIDE_OPTIMIZERS, "adam", "sgd")] = "adam"
    """outer optimizer"""
    meta_lr: float = Field(1e-3, gt=0)
    """outer step size at the start"""
    schedule: Annotated[str, one_of(OUTSIDE_SCHEDULES, "constant", "linear", "cosine", "step")] = (
        "constant"
    )
    """course of the outer step size; linear and cosine reach min_meta_lr at the last step"""
    min_meta_lr: float = Field(0.0, ge=0)
    """where linear and cosine schedules end"""
    warmup: float = Field(0.0, ge=0, lt=1)
    """share of the training in which the outer step size rises linearly to meta_lr"""
    lr_step_every: int = Field(2000, ge=1)
    """step schedule: outer steps between reductions"""
    lr_step_factor: float = Field(0.5, gt=0, le=1)
    """step schedule: factor of each reduction"""
    clip_value: float | None = Field(None, gt=0)
    """each component of the meta-gradient is clipped to +- this"""
    clip_norm: float | None = Field(None, gt=0)
    """the meta-gradient is scaled down to at most this norm"""
    validate_every: int = Field(100, ge=0)
    """outer steps between validations; 0: never (the last parameters are tested)"""
    validate_episodes: int = Field(100, ge=2, le=10_000_000)
    """episodes of each validation"""
    patience: int = Field(0, ge=0)
    """early stopping: validations without improvement after which training ends; 0: never"""
    checkpoint_every: int = Field(100, ge=1)
    """outer steps between checkpoints; the last step always has one"""
    keep_checkpoints: int = Field(2, ge=1)
    """newest checkpoints kept, beside the best on validation"""


class WorkersConfig(ComputeConfig):
    """Compute resources, and what happens when a worker is lost."""

    derivatives: Literal["auto", "rules", "autograd"] = "auto"
    """rules: the derivatives of conv4 and mlp, written out layer by layer, which is faster and
    needs less memory; autograd: torch.func, for every network; both are exact and differ in
    rounding; auto: rules where network and precision allow them"""
    max_retries: int = Field(3, ge=0)
    """how often one shard is recomputed after its worker died"""


class EvaluateConfig(Section):
    """The meta-test."""

    num_episodes: int = Field(600, ge=2, le=10_000_000)
    """test episodes"""
    batch_norm: BatchNormMode = "transductive"
    """transductive: statistics of the queries that are predicted, and methods that are transductive
    predict them together; inductive: no prediction depends on other queries"""
    rotations: Literal["none", "classes"] | None = None
    """whether quarter turns of a class are further classes of validation and test; by default they
    are where `data.rotations` is `all`. Scores of upright and of turned classes are not comparable
    """
    checkpoint: Literal["best", "last"] = "best"
    """parameters to test: best on validation, or those of the last step"""
    shard_size: int = Field(8, ge=1, le=100_000)
    """episodes computed together by one worker"""


def _recipe(method: str, data: str, ways: int, shots: int) -> Mapping[str, Any]:
    """The published settings; for tasks of a plug-in without images, those that carry over."""
    if data in DATA_SETS.builtin:
        return paper_defaults(method, data, ways, shots)
    tasks = DATA_SETS.validate({"name": data})
    if tasks.has_images:
        return paper_defaults(method, data, ways, shots)
    if tasks.is_regression:
        return paper_defaults(method, "sinusoid", ways, shots)
    recipe = paper_defaults(method, "omniglot", ways, shots)
    kept = {path: recipe[path] for path in recipe if not path.startswith(("data.", "model."))}
    return kept | {"model.name": "mlp"}


class RunConfig(ExperimentConfig):
    """Everything that determines a run."""

    kind = "train"
    section = "method"
    places = ("data.root", "data.cache", "data.download")
    inputs = ("data.root", "data.split_lists", "init.checkpoint", "model.weights")
    before_it_was_there = {"workers.derivatives": "autograd"}  # noqa: RUF012

    seed: int = Field(0, ge=0)
    """root of every random choice"""
    method: Annotated[MethodSection, METHODS] = MAMLConfig()
    data: Annotated[DataConfig, DATA_SETS] = DataConfig()
    task: TaskConfig = TaskConfig()
    model: Annotated[ModelConfig, MODELS] = ModelConfig()
    init: InitConfig = InitConfig()
    train: TrainConfig = TrainConfig()
    workers: WorkersConfig = WorkersConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    monitoring: MonitoringConfig = MonitoringConfig()

    @classmethod
    @override
    def defaults(cls, user: Tree) -> Mapping[str, Any]:
        default = cls()
        method = get(user, "method.name", default.method.name)
        data = get(user, "data.name", default.data.name)
        shape = [get(user, f"task.{key}", getattr(default.task, key)) for key in ("ways", "shots")]
        chosen = {"method.name": method}
        named = isinstance(method, str) and isinstance(data, str)
        if not named or not all(isinstance(number, int) for number in shape):
            return chosen  # validation says what is wrong
        if method in METHODS.builtin:
            recipe = _recipe(method, data, *shape)
        else:
            recipe = METHODS[located(method)].defaults
        if is_outside(str(get(user, "model.name", ""))):  # settings of our networks are not its own
            recipe = {path: recipe[path] for path in recipe if not path.startswith("model.")}
        return chosen | dict(recipe)

    @property
    @override
    def identity(self) -> list[str]:
        return ["method.name", "data.name", "task.ways", "task.shots"]

    @property
    @override
    def command(self) -> str:
        return "metaray train"

    @property
    def train_shape(self) -> EpisodeShape:
        """Shape of training episodes."""
        t = self.task
        return EpisodeShape(
            ways=t.train_ways,
            shots=t.train_shots,
            queries=t.train_queries,
            within_group=t.train_within_group,
        )

    @property
    def test_shape(self) -> EpisodeShape:
        """Shape of validation and test episodes."""
        t = self.task
        return EpisodeShape(
            ways=t.ways, shots=t.shots, queries=t.queries, within_group=t.within_group
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method.fixed_head and self.task.train_ways != self.task.ways:
            raise InputError(
                f"{self.method.name} has one output per class, so task.train_ways "
                f"({self.task.train_ways}) must equal task.ways ({self.task.ways})"
            )
        if self.init.checkpoint and self.model.weights:
            raise InputError(
                "init.checkpoint and model.weights both say where the network starts: leave out one"
            )
        for_images = self.model.name in MODELS.builtin and self.model.name not in ANY_INPUT
        if for_images and not self.data.has_images:
            raise InputError(
                f"{self.data.label} has no images for {self.model.name}: set model.name to one of "
                f"{', '.join(ANY_INPUT)}"
            )
        if self.model.drop_block and not self.method.drops_features:
            raise InputError(
                f"{self.method.name} has no use for DropBlock: set model.drop_block = 0, or "
                "method.name to one that trains without an inner loop"
            )
        return self
