"""One test episode with its predictions, for the report."""

from __future__ import annotations

from dataclasses import replace

import torch

from metaray.algorithms.episode import num_classes
from metaray.algorithms.episode_shape import TaskSpec
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.report.example import ExampleEpisode
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import FlatState

_CURVE_POINTS = 200  # enough queries to draw a regression's prediction as a curve


def example_episode(
    source: EpisodeSource, blueprint: Blueprint, state: FlatState
) -> ExampleEpisode | None:
    """The first test episode as the network at ``state`` predicts it, computed in this process.

    None where it cannot be drawn: its inputs are neither images nor numbers.
    """
    config = blueprint.config
    shape = config.test_shape
    if source.input_shape != (1,) and len(source.input_shape) != 3:
        return None
    if source.kind == "regression":
        shape = replace(shape, queries=_CURVE_POINTS)
    spec = TaskSpec(split="test", index=0, seed=config.seed, shape=shape)
    episode = source.sample(spec).to(torch.device("cpu"), blueprint.dtype)
    at = blueprint.unflatten(torch.from_numpy(state))
    ways = num_classes(episode) if shape.has_own_ways else shape.ways
    outputs = blueprint.algorithm.predict_by_step(at, episode, ways, config.evaluate.batch_norm)
    outputs = outputs[-1].detach()
    arrays = {name: t.numpy() for name, t in episode._asdict().items() if name != "key"}
    if source.kind == "regression":
        return ExampleEpisode(**arrays, predictions=outputs.numpy())
    return ExampleEpisode(
        **arrays,
        probabilities=outputs.softmax(-1).numpy(),
        class_names=source.describe(spec),
    )
