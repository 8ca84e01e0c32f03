"""Defaults that ask too much of the data at hand are lowered to what it allows, and this is said.

What the user has set stays as it is: where that does not fit, the data says so in an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from metaray.algorithms.episode_shape import Split
from metaray.algorithms.methods.method_section import BatchTrained
from metaray.algorithms.tasks.class_episodes import ClassEpisodes
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.config.loading import fitted_to
from metaray.platform.config.meta import RunConfig


class Lowered(NamedTuple):
    """A setting, the value that fits, and why."""

    key: str
    value: int
    reason: str


def fitted(config: RunConfig, source: EpisodeSource) -> tuple[RunConfig, str]:
    """``config`` with the episodes that ``source`` can serve, and a sentence; empty if all fits."""
    if config.given is None or not isinstance(source, ClassEpisodes):
        return config, ""
    lowered = [*_fewer_ways(config, source), *_fewer_min_ways(config, source)]
    config = fitted_to(config, {one.key: one.value for one in lowered})
    fewer_images = [*_fewer_images(config, source)]
    config = fitted_to(config, {one.key: one.value for one in fewer_images})
    lowered += fewer_images
    if not lowered:
        return config, ""
    chosen = ", ".join(f"{one.key} = {one.value} ({one.reason})" for one in lowered)
    return config, f"the defaults were lowered to what the data allows: {chosen}"


def _fewer_ways(config: RunConfig, source: ClassEpisodes) -> Iterator[Lowered]:
    task = config.task
    few, split = min((source.most_ways(s, task.within_group), s) for s in _tested(config))
    train = source.most_ways("train", task.train_within_group)
    if isinstance(config.method, BatchTrained):
        train = few
    elif config.method.fixed_head and train < few:
        few, split = train, "train"
    part = f"{'a group of ' if task.within_group else ''}the {split} split"
    fixed = not config.test_shape.has_own_ways
    if fixed and few >= 2 and _left_open(config, "task.ways", config.task.ways > few):
        yield Lowered("task.ways", few, f"{part} has {few} classes")
        if config.method.fixed_head and "task.train_ways" not in (config.given or ()):
            yield Lowered("task.train_ways", few, f"as task.ways for {config.method.name}")
    if config.method.fixed_head or config.train_shape.has_own_ways:
        return  # it trains with the ways of the test, or draws them
    reason = f"the train split has {train} classes"
    if task.train_within_group:  # more would leave few groups, or the largest alone
        train, reason = min(train, few, task.ways), "a group has few classes"
    if train >= 2 and _left_open(config, "task.train_ways", config.task.train_ways > train):
        yield Lowered("task.train_ways", train, reason)


def _fewer_min_ways(config: RunConfig, source: ClassEpisodes) -> Iterator[Lowered]:
    """Where ways vary: more than the smallest split has are not drawn anyway."""
    test, train = config.test_shape, config.train_shape
    used = [(split, test) for split in _tested(config)]
    used += [("train", train)] if config.train.outer_steps else []
    found = [
        (source.most_ways(split, shape.within_group), split)
        for split, shape in used
        if shape.has_own_ways
    ]
    few, split = min(found, default=(config.task.min_ways, "test"))
    if few >= 2 and _left_open(config, "task.min_ways", config.task.min_ways > few):
        yield Lowered("task.min_ways", few, f"the {split} split has {few} classes to draw from")


def _fewer_images(config: RunConfig, source: ClassEpisodes) -> Iterator[Lowered]:
    images, name = min(source.smallest_class(split) for split in _tested(config))
    shape = config.test_shape
    room = images // 2 if shape.has_own_ways else images - shape.shots
    if room >= 1 and _left_open(config, "task.queries", config.task.queries > room):
        yield Lowered("task.queries", room, f"{name} has {images} {source.things}")
    if not config.train.outer_steps or isinstance(config.method, BatchTrained):
        return
    images, name = source.smallest_class("train")
    shape = config.train_shape
    shots, fixed = shape.shots, shape.varying is None
    if fixed and images >= 2 and _left_open(config, "task.train_shots", shots >= images):
        shots = images // 2
        yield Lowered("task.train_shots", shots, f"{name} has {images} {source.things}")
    room = images // 2 if shape.has_own_ways else images - shots
    if room >= 1 and _left_open(config, "task.train_queries", config.task.train_queries > room):
        yield Lowered("task.train_queries", room, f"{name} has {images} {source.things}")


def _tested(config: RunConfig) -> tuple[Split, ...]:
    validates = config.train.outer_steps and config.train.validate_every
    return ("val", "test") if validates else ("test",)


def _left_open(config: RunConfig, key: str, is_too_much: bool) -> bool:
    return is_too_much and key not in (config.given or ())
