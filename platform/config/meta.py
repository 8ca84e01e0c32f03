"""The settings of a meta-training, nested and frozen; ``loading`` reads and resolves them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self, override

from metaray.algorithms.configs import (
    BatchNormMode,
    DataConfig,
    ModelConfig,
    Sampler,
    Section,
    TaskConfig,
)
from metaray.algorithms.episode_shape import EpisodeShape, Varying
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.maml_config import MAMLConfig
from metaray.algorithms.methods.method_section import BatchTrained, MethodSection
from metaray.algorithms.models.registry import ANY_INPUT, MODELS
from metaray.algorithms.outer_loop_registry import OUTSIDE_OPTIMIZERS, OUTSIDE_SCHEDULES, one_of
from metaray.algorithms.plugins import is_outside, located
from metaray.algorithms.recipes.lookup import paper_defaults
from metaray.algorithms.registry import METHODS
from metaray.algorithms.tasks.registry import DATA_SETS
from metaray.platform.config.monitoring import MonitoringConfig
from metaray.platform.config.schema import ComputeConfig, ExperimentConfig, InitConfig
from metaray.platform.config.tree import Tree, flat, get

_OF_FIXED_TRAINING = tuple(f"task.train_{key}" for key in ("ways", "shots", "queries"))


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
        sampler = get(user, "task.sampler", default.task.sampler)
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
        if get(user, "task.train_sampler", sampler) != "fixed":
            recipe = {path: recipe[path] for path in recipe if path not in _OF_FIXED_TRAINING}
        return chosen | dict(recipe)

    @property
    @override
    def identity(self) -> list[str]:
        shape = [key for key in ("ways", "shots") if key not in self.task.without_effect]
        sampler = [] if self.task.sampler == "fixed" else ["sampler"]
        return ["method.name", "data.name", *(f"task.{key}" for key in (*sampler, *shape))]

    @property
    @override
    def command(self) -> str:
        return "metaray train"

    @property
    @override
    def without_effect(self) -> tuple[str, ...]:
        shards = ("evaluate.shard_size",) if self.task.sampler != "fixed" else ()
        return (*(f"task.{key}" for key in self.task.without_effect), *shards)

    @override
    def check_given(self, keys: Collection[str]) -> None:
        unused = [key for key in self.without_effect if key in keys]
        if not unused:
            return
        values, default = (dict(flat(one.model_dump())) for one in (self, type(self)()))
        # a file with every setting has them all, at their defaults
        void = next((key for key in unused if values[key] != default[key]), None)
        if void == "evaluate.shard_size":
            raise InputError(
                f"{void} has no effect where test episodes differ in shape, since each is computed "
                "by itself: leave it out"
            )
        if void in ("task.ways", "task.shots", "task.train_ways", "task.train_shots"):
            of = "train_sampler" if void.startswith("task.train_") else "sampler"
            sampler = getattr(self.task, of)
            raise InputError(
                f"{void} has no effect with task.{of} = {sampler}, which draws "
                + (
                    "ways and shots for each episode: leave it out, or bound them by "
                    "task.min_ways and task.max_ways"
                    if sampler == "varying"
                    else "the place at which a sequence is cut: leave it out, or set "
                    "task.sequence_shots"
                )
            )
        if void is not None:
            sampler = "sequence" if void == "task.sequence_shots" else "varying"
            raise InputError(
                f"{void} has no effect with task.sampler = {self.task.sampler}: leave it out, or "
                f"set task.sampler = {sampler}"
            )

    @property
    def train_shape(self) -> EpisodeShape:
        """Shape of training episodes."""
        t = self.task
        # of mini-batches there is none that could vary
        sampler = "fixed" if isinstance(self.method, BatchTrained) else t.train_sampler
        shape = self._shape(
            sampler, t.train_ways, t.train_shots, t.train_queries, t.train_within_group
        )
        return replace(shape, unlabelled=t.train_labels == "none")

    @property
    def test_shape(self) -> EpisodeShape:
        """Shape of validation and test episodes."""
        t = self.task
        return self._shape(t.sampler, t.ways, t.shots, t.queries, t.within_group)

    def _shape(
        self, sampler: Sampler, ways: int, shots: int, queries: int, within_group: bool
    ) -> EpisodeShape:
        t, varying = self.task, None
        if sampler == "sequence":
            shots = t.sequence_shots
            varying = Varying(
                min_ways=ways,
                max_support=ways * shots,
                max_support_per_class=shots,
                in_sequence=True,
            )
        if sampler == "varying":
            ways, shots = t.max_ways, 1
            varying = Varying(
                min_ways=t.min_ways,
                max_support=t.max_support,
                max_support_per_class=t.max_support_per_class,
            )
        return EpisodeShape(
            ways=ways, shots=shots, queries=queries, within_group=within_group, varying=varying
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method.fixed_head and not self.data.is_regression:
            self._check_ways()
        self._check_most_ways()
        self._check_sequences()
        if self.init.checkpoint and self.model.weights:
            raise InputError(
                "init.checkpoint and model.weights both say where the network starts: leave out one"
            )
        if self.task.train_labels == "none":
            self._check_unlabelled()
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

    def _check_unlabelled(self) -> None:
        """Raise InputError where training without labels has no meaning, or is not possible."""
        task = self.task
        for is_wrong, why in (
            (not self.data.has_images, f"changes copies of images: {self.data.label} has none"),
            (isinstance(self.method, BatchTrained),
             f"is for training on episodes, and {self.method.name} learns the labels of images"),
            (task.train_sampler != "fixed", "needs task.train_sampler = fixed"),
            (task.train_within_group, "draws from all images: set task.train_within_group = false"),
        ):  # fmt: skip
            if is_wrong:
                raise InputError(f"task.train_labels = none {why}")

    def _check_ways(self) -> None:
        """Raise InputError unless all episodes of training and test have as many classes."""
        train, test = self.train_shape, self.test_shape
        for key, shape in (("sampler", test), ("train_sampler", train)):
            if shape.fewest_ways != shape.ways:
                able = [name for name, method in METHODS.items() if not method.fixed_head]
                raise InputError(
                    f"{self.method.name} has one output per class, so the number of classes cannot "
                    f"vary as task.{key} = varying has it: set task.min_ways = task.max_ways, "
                    f"where shots vary alone, or method.name to one of {', '.join(able)}"
                )
        if train.ways != test.ways:
            keys = [
                f"task.{'max_ways' if shape.has_own_ways else key} ({shape.ways})"
                for key, shape in (("train_ways", train), ("ways", test))
            ]
            raise InputError(
                f"{self.method.name} has one output per class, so {' must equal '.join(keys)}"
            )

    def _check_sequences(self) -> None:
        """Raise InputError where a method cannot take classes without an example."""
        for key in ("sampler", "train_sampler"):
            if getattr(self.task, key) == "sequence" and not self.method.labels_are_inputs:
                able = [name for name, method in METHODS.items() if method.labels_are_inputs]
                raise InputError(
                    f"task.{key} = sequence has episodes in which some classes have no example "
                    f"yet, and {self.method.name} needs one of each: set task.{key} = varying, or "
                    f"method.name to one of {', '.join(able)}"
                )

    def _check_most_ways(self) -> None:
        """Raise InputError where an episode may have more classes than the method takes."""
        most = self.method.most_ways
        for key, shape in (("train_ways", self.train_shape), ("ways", self.test_shape)):
            if most is not None and shape.ways > most:
                shown = "max_ways" if shape.has_own_ways else key
                raise InputError(
                    f"{self.method.name} takes at most method.max_ways = {most} classes, got "
                    f"task.{shown} = {shape.ways}: raise method.max_ways, or lower task.{shown}"
                )
