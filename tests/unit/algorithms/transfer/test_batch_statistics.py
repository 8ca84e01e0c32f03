"""Statistics of encoders whose training kept none."""

from __future__ import annotations

import torch
from small_job import conv4, noise, teacher_state

from metaray.algorithms.transfer.batch_statistics import estimate_statistics


def test_statistics_of_the_first_layer_are_those_of_all_images_together() -> None:
    backbone = conv4("batch")
    params, stats = teacher_state(backbone)
    batches = [noise(5, 1, 8, 8, seed=seed) + seed for seed in range(3)]
    found = estimate_statistics(backbone, params, batches)
    assert found.keys() == stats.keys()
    _, whole = backbone.apply(params, torch.cat(batches), None)
    for part in ("mean", "var"):
        torch.testing.assert_close(found[f"block0.norm.{part}"], whole[f"block0.norm.{part}"])


def test_one_batch_gives_its_own_statistics_in_every_layer() -> None:
    backbone = conv4("batch")
    params, _ = teacher_state(backbone)
    x = noise(6, 1, 8, 8)
    _, expected = backbone.apply(params, x, None)
    found = estimate_statistics(backbone, params, [x])
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_a_network_without_batch_norm_has_none() -> None:
    backbone = conv4("group")
    assert estimate_statistics(backbone, teacher_state(backbone)[0], [noise(2, 1, 8, 8)]) == {}
