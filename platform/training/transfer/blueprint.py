"""What every process of a transfer job builds from its plan, so that all mean the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.parameters import Layout
from metaray.algorithms.transfer import batches
from metaray.algorithms.transfer.domain_config import DomainConfig
from metaray.algorithms.transfer.examples import (
    Examples,
    check_other_classes,
    check_same_classes,
    open_examples,
)
from metaray.algorithms.transfer.objective import Networks, Objective, View
from metaray.algorithms.transfer.registry import build_objective
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.training.device import dtype_of

Indices = NDArray[np.int64]
_MOST_VALIDATIONS = 50  # of those that were not asked for


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a process needs to know of a job; small, so that it can be sent anywhere."""

    config: TransferConfig
    param_layout: Layout
    """how parameters lie in the flat vector"""
    teacher: ModelConfig | None = None
    """the network of the teacher, where the job has one"""


@dataclass(frozen=True)
class Domains:
    """The images of a job."""

    source: Examples
    target: Examples | None = None
    tests_target: bool = True
    """whether the test is on the target, where there is one"""

    @classmethod
    def open(
        cls,
        config: TransferConfig,
        opened: Callable[[DomainConfig, str], Examples] = open_examples,
    ) -> Domains:
        """Those of ``config``; ``opened`` opens what a section says.

        Raises:
            InputError: as of ``open_examples``, or source and target have images of different
                shape, or classes that do not agree with the settings.
        """
        source = opened(config.data, "data")
        if config.target is None:
            return cls(source)
        target = opened(config.target.like(config.data), "target")
        (check_same_classes if config.tests_target else check_other_classes)(source, target)
        if source.input_shape != target.input_shape:
            raise InputError(
                f"source and target have images of {source.input_shape} and "
                f"{target.input_shape} (channels, height, width): set target.channels and "
                "target.image_size"
            )
        return cls(source, target, config.tests_target)

    @property
    def tested(self) -> Examples:
        """The domain of the test."""
        return self.target if self.target and self.tests_target else self.source


def networks_of(config: TransferConfig, domains: Domains, teacher: ModelConfig | None) -> Networks:
    """What the objective of ``config`` is built over; initial weights are not read."""
    shape = domains.source.input_shape
    return Networks(
        backbone=bare_backbone(config.model, shape),
        input_shape=shape,
        num_classes=len(domains.source.class_names),
        teacher=None if teacher is None else bare_backbone(teacher, shape),
    )


def bare_backbone(model: ModelConfig, input_shape: tuple[int, ...]) -> Backbone:
    """The network of ``model``, without the file of its weights."""
    return build_backbone(model.model_copy(update={"weights": None}), input_shape)


class TransferBlueprint:
    """The objective of a plan, and the batches of its steps."""

    def __init__(self, plan: Plan, domains: Domains, objective: Objective | None = None) -> None:
        """``objective``: that of the plan over ``domains``, where it has been built already."""
        config = plan.config
        self.config = config
        self.param_layout = plan.param_layout
        self.domains = domains
        self.objective = objective or build_objective(
            config.job, networks_of(config, domains, plan.teacher)
        )
        self.dtype = dtype_of(config.workers)
        self._drawn = {
            name: examples if self._labelled(name) else examples.without_label_limit()
            for name, examples in (("source", domains.source), ("target", domains.target))
            if examples is not None
        }
        count = self._drawn["source"].count("train")
        self.batch_size = min(config.train.batch_size, count)
        self.steps = total_steps(config, count)
        self.steps_per_epoch = max(1, round(count / self.batch_size))
        self.shards = batches.shard_bounds(self.batch_size, config.train.shard_size)
        self._streams = {
            name: batches.Stream(examples.count("train"), self.batch_size, config.seed, domain)
            for domain, (name, examples) in enumerate(self._drawn.items())
        }

    @property
    def validate_every(self) -> int:
        """Steps between validations; 0: never."""
        every = self.config.train.validate_every
        at_most_50 = -(-self.steps // _MOST_VALIDATIONS)
        return max(self.steps_per_epoch, at_most_50) if every is None else every

    def _labelled(self, domain: str) -> bool:
        """Whether a view reads labels of ``domain``; without, all of its images are drawn."""
        return any(view.labelled and view.domain == domain for view in self.objective.views)

    @cached_property
    def shuffles(self) -> bool:
        """Whether any view lies in another order."""
        return any(view.shuffled for view in self.objective.views)

    def progress(self, step: int) -> float:
        """Share of all steps that are done before ``step``."""
        return step / self.steps

    def shuffled_order(self, step: int) -> NDArray[Any]:
        """For each place of a shuffled view, its place in the batch."""
        if not self.shuffles:
            return np.arange(self.batch_size)
        return batches.shuffled_order(self.config.seed, step, self.batch_size)

    def images(self, view: View, number: int, step: int, places: Indices) -> Tensor:
        """Images ``[len(places), C, H, W]`` of view ``number``, augmented as it says."""
        indices = self._streams[view.domain].batch(step)[places]
        x = self._drawn[view.domain].images("train", indices)
        if view.transform is None:
            return x
        seed = self.config.seed
        return torch.stack(
            [
                view.transform(image, batches.augmentation(seed, step, int(place), number))
                for image, place in zip(x, places, strict=True)
            ]
        )

    def shard_labels(self, view: View, step: int, places: Indices) -> Tensor | None:
        """Labels of the same images, unless the view has none."""
        if not view.labelled:
            return None
        indices = self._streams[view.domain].batch(step)[places]
        return torch.from_numpy(self._drawn[view.domain].labels("train")[indices])

    def labels(self, step: int) -> tuple[Tensor | None, ...]:
        """Of the whole batch, for each view."""
        whole, order = np.arange(self.batch_size), self.shuffled_order(step)
        return tuple(
            self.shard_labels(view, step, order if view.shuffled else whole)
            for view in self.objective.views
        )


def total_steps(config: TransferConfig, num_examples: int) -> int:
    """Optimizer steps of a job with so many training images."""
    if config.train.steps is not None:
        return config.train.steps
    batch = min(config.train.batch_size, num_examples)
    return max(1, round(config.train.epochs * num_examples / batch))


def check_batch_norm(config: TransferConfig, blueprint: TransferBlueprint) -> None:
    """Raise InputError where a shard is a single image, which batch norm turns into its shift."""
    smallest = min(end - begin for begin, end in blueprint.shards)
    backbone = bare_backbone(config.model, blueprint.domains.source.input_shape)
    has_statistics = bool(backbone.init(torch.Generator())[1])
    if smallest < 2 and has_statistics:
        raise InputError(
            f"batch norm needs two images or more to compute together, and a batch of "
            f"{blueprint.batch_size} in shards of {config.train.shard_size} has shards of one: "
            "raise train.shard_size or train.batch_size, or set model.norm = group"
        )
