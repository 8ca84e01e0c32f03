"""The episodes of a meta-training: those of its data, as its settings ask for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source
from metaray.algorithms.tasks.class_episodes import ClassEpisodes
from metaray.algorithms.tasks.image_episodes import ImageEpisodes, TestRotations
from metaray.algorithms.tasks.omniglot_runs import OmniglotRuns
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.config.meta import RunConfig


def open_source(config: RunConfig, *preparing: Any) -> EpisodeSource:
    """The episodes of ``config``.

    Args:
        config: the settings.
        *preparing: progress and mapper, as of ``build_source``.

    Raises:
        InputError: as of ``build_source``; also for settings that such tasks cannot follow.
    """
    source = build_source(config.data, *preparing)
    if isinstance(source, ImageEpisodes):
        rotations = config.evaluate.rotations
        return source if rotations is None else replace(source, test_rotations=rotations)
    if isinstance(source, ClassEpisodes) and config.evaluate.rotations is None:
        return source
    given = isinstance(source, OmniglotRuns)
    for key, is_set in (
        ("evaluate.rotations", config.evaluate.rotations is not None),
        ("task.within_group", config.task.within_group),
        ("task.train_within_group", config.task.train_within_group and not given),
        ("task.sampler", config.task.sampler != "fixed"),
        ("task.train_sampler", config.task.train_sampler != "fixed" and not given),
    ):
        if is_set:
            raise InputError(
                f"{key} has no effect on {config.data.label}, whose tasks are not drawn from "
                "classes of images: leave it out"
            )
    if isinstance(source, OmniglotRuns) and config.evaluate.num_episodes != len(source.runs):
        raise InputError(
            f"{config.data.label} has {len(source.runs)} runs, and its score is over all of them: "
            f"set evaluate.num_episodes = {len(source.runs)}"
        )
    return source


def most_ways(source: EpisodeSource, split: Split, within_group: bool) -> int:
    """The classes of ``split`` that can meet in an episode."""
    if isinstance(source, ClassEpisodes):
        return source.most_ways(split, within_group)
    return source.num_classes(split)


def test_rotations(source: EpisodeSource) -> TestRotations | None:
    """Whether quarter turns of a class are further classes of the test; None without images."""
    if not isinstance(source, ImageEpisodes):
        return None
    return "classes" if source.turns("test") > 1 else "none"
