"""Named tensors and their flat form."""

from __future__ import annotations

import torch

from metaray.algorithms.parameters import Layout


def test_a_flat_vector_holds_scalars_and_tensors_and_gives_them_back() -> None:
    tensors = {"rate": torch.tensor(0.5), "weight": torch.arange(6.0).view(2, 3)}
    layout = Layout.of(tensors)
    flat = layout.flatten(tensors)
    assert flat.tolist() == [0.5, 0, 1, 2, 3, 4, 5]
    for name, value in layout.unflatten(flat).items():
        assert torch.equal(value, tensors[name])


def test_a_leading_axis_of_tasks_stays() -> None:
    tensors = {"rate": torch.tensor(0.5), "weight": torch.arange(6.0).view(2, 3)}
    tasks = {name: torch.stack([value, 2 * value]) for name, value in tensors.items()}
    layout = Layout.of(tensors)
    one = layout.flatten(tensors)
    assert torch.equal(layout.flatten(tasks), torch.stack([one, 2 * one]))
