"""What a sweep was asked for, and the settings of a trial. No torch, no Ray, no Optuna."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from metaray.algorithms.atomic import write_json
from metaray.algorithms.configs import Section
from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import read_object, refusing_damage
from metaray.platform.config.complaints import complaint, known_keys
from metaray.platform.config.loading import as_meant
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.tree import Tree, flat, get, with_values
from metaray.platform.experiment.base import Experiment
from metaray.platform.experiment.registry import experiment_of
from metaray.tune_spaces.space import Space

SamplerName = Literal["tpe", "cmaes", "random", "grid"]
SchedulerName = Literal["asha", "hyperband", "pbt", "none"]

Direction = Literal["maximize", "minimize"]

DIRECTIONS: dict[str, Direction] = {
    "val_accuracy": "maximize",
    "val_mse": "minimize",
    "val_loss": "minimize",
    "adapt_s": "minimize",
    "wall_s": "minimize",
}
"""the metrics of a trial, each of the parameters that the trial would be tested with"""

_NOT_SEARCHED = ("workers.", "evaluate.", "monitoring.", "seed")


class SweepPlan(Section):
    """A sweep as it was asked for."""

    settings: dict[str, Any]
    """what all trials share: the user's file and overrides, in nested tables"""
    set_keys: tuple[str, ...] = ()
    """paths of the settings that win over every space: those of ``--set``"""
    metrics: tuple[str, ...] = Field(min_length=1)
    """what is optimized: one, or several for a Pareto front"""
    num_trials: int = Field(20, ge=1)
    """trials, with those that fail"""
    sampler: SamplerName = "tpe"
    """who proposes values"""
    scheduler: SchedulerName = "asha"
    """who ends trials early, or lets them take over from each other (pbt)"""
    grace: int = Field(1, ge=1)
    """outer steps that every trial may make before it can be ended, or between exploits"""
    seed: int = Field(0, ge=0)
    """root of the sampler's random choices"""
    space_suffix: Literal[".toml", ".py"] = ".toml"
    """the form of the search space"""
    study_name: str
    """name in Optuna's storage"""
    storage: str | None = None
    """where the study is, if not in the sweep directory, without its password"""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.metrics:
            if name not in DIRECTIONS:
                raise InputError(f"--metric {name} is not one of {', '.join(DIRECTIONS)}")
        if not self.metrics[0].startswith("val_"):
            raise InputError(
                f"--metric starts with a validation metric, by which trials are judged while they "
                f"train, got {self.metrics[0]}: for example --metric val_accuracy,adapt_s"
            )
        if len(set(self.metrics)) < len(self.metrics):
            raise InputError(f"--metric names a metric twice: {','.join(self.metrics)}")
        if len(self.metrics) > 1 and self.scheduler != "none":
            raise InputError(
                f"--scheduler {self.scheduler} judges trials by one metric, and there are "
                f"{len(self.metrics)}: use --scheduler none"
            )
        return self

    @property
    def experiment(self) -> Experiment[Any]:
        """What kind of run its trials are."""
        return experiment_of(self.settings)

    @cached_property
    def base(self) -> ExperimentConfig:
        """The config in which no setting is varied."""
        config: ExperimentConfig = self.experiment.resolve(self.settings)
        return config

    @property
    def steps(self) -> int:
        """The length of a trial in which it is not varied."""
        return self.experiment.steps(self.base)

    @property
    def directions(self) -> list[Direction]:
        """``maximize`` or ``minimize`` for each metric."""
        return [DIRECTIONS[name] for name in self.metrics]

    def config_of(self, values: dict[str, Any]) -> ExperimentConfig:
        """The config of the trial with these values, by path.

        Raises:
            InputError: values that exclude each other, a path that is no setting, or one whose
                value another setting would change.
        """
        config: ExperimentConfig = self.experiment.resolve(with_values(self.settings, values))
        reached = dict(flat(config.model_dump()))
        for path, value in values.items():
            if path not in reached or reached[path] != value:
                raise InputError(
                    f"{path} = {value!r} did not reach the config of the trial, which has "
                    f"{reached.get(path)!r}: take it out of the space"
                )
        return config

    def write(self, path: Path) -> None:
        """As JSON, atomically."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def read(cls, path: Path) -> SweepPlan:
        """The plan in a sweep directory.

        Raises:
            InputError: the file is not one that metaray wrote.
        """
        problem, remedy = f"{path} is not the plan of a sweep", "restore it or begin a new one"
        tree = read_object(path, problem, remedy)
        with refusing_damage(problem, remedy):
            plan = cls.model_validate(tree)
            kind = plan.experiment.config_class
            return plan.model_copy(update={"settings": as_meant(kind, plan.settings)})


def make_plan(settings: Tree, **options: Any) -> SweepPlan:
    """A plan for ``settings``; an option that is None has its default, which may follow the data.

    Raises:
        InputError: an option has a bad value, or two exclude each other.
    """
    experiment = experiment_of(settings)
    settings = experiment.trial_settings(settings)
    base = experiment.resolve(settings)
    for path in experiment.config_class.before_it_was_there:  # so that it means the same when read
        settings = with_values(settings, {path: get(base.model_dump(), path, None)})
    given = {key: value for key, value in options.items() if value is not None}
    given.setdefault("metrics", (experiment.default_metric(base),))
    trains = experiment.steps(base) > 0
    if len(given["metrics"]) > 1 or not trains:
        given.setdefault("scheduler", "none")
    if not trains and given["scheduler"] != "none":
        raise InputError(
            f"--scheduler {given['scheduler']} looks at trials while they train, and "
            f"{experiment.steps_key} is 0: leave it out"
        )
    given.setdefault("grace", base.train.validate_every or 1)
    try:
        return SweepPlan(settings=settings, **given)
    except ValidationError as error:
        raise InputError(complaint(error, SweepPlan)) from None


def address_of(config: ExperimentConfig) -> str:
    """Where a trial with ``config`` computes: in its process, or on the Ray of the sweep."""
    return "current" if config.workers.count else "local"


def check_space(space: Space, plan: SweepPlan) -> None:
    """Refuse a space that the config does not know, or whose ends it does not take.

    Raises:
        InputError: with the first such range.
    """
    known = set(known_keys(plan.experiment.config_class))
    base = dict(flat(plan.base.model_dump()))
    for path, dimension in space.items():
        for key in (path, *dimension.when):
            if key not in known:
                plan.config_of({key: 0})  # says which setting is nearest
        if path.startswith((*_NOT_SEARCHED, *plan.base.places)):
            raise InputError(f"{path} has no effect on training; remove it from the search space")
        steps_key = plan.experiment.steps_key
        if path.startswith("train.") and not plan.steps and steps_key not in space:
            raise InputError(
                f"{path} has no effect with {steps_key} = 0: remove it from the search space"
            )
        for value in dimension.ends:
            try:
                plan.config_of({**dimension.when, path: value})
            except InputError as error:
                raise InputError(
                    f"the space takes {path} to {value!r}, which no trial could have: {error}"
                ) from None
    if not any(dimension.is_active(base) for dimension in space.values()):
        raise InputError("every range of the space depends on another: none could be searched")


def own_values(space: Space, config: ExperimentConfig) -> dict[str, Any] | None:
    """The values that the config itself has, if the space holds all of them."""
    base = dict(flat(config.model_dump()))
    active = {path: d for path, d in space.items() if d.is_active(base)}
    if all(path in base and d.holds(base[path]) for path, d in active.items()):
        return {path: base[path] for path in active}
    return None
