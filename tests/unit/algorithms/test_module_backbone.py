"""A plain torch.nn.Module in every method, batch norm included."""

from __future__ import annotations

import pytest
import torch
from fixtures import SMALL, WAYS, episode
from torch import nn

from metaray.algorithms.algorithm import Algorithm, State
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.module_backbone import ModuleBackbone
from metaray.algorithms.registry import METHODS, build_algorithm


def layers() -> nn.Module:
    """With the parts that need care: batch norm of images and of vectors, in-place, dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4, affine=False),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(64, 6),
        nn.BatchNorm1d(6),
    )


def built(name: str) -> tuple[Algorithm, State]:
    algorithm = build_algorithm(
        SMALL[name], ModuleBackbone(layers, (1, 16, 16)), "classification", WAYS
    )
    state = algorithm.init(0)
    return algorithm, State(*({k: v.double() for k, v in part.items()} for part in state))


@pytest.mark.parametrize("name", METHODS.builtin)
def test_every_method_takes_a_step_and_predicts_inductively(name: str) -> None:
    algorithm, state = built(name)
    task = episode(queries=2)
    result = algorithm.task_gradient(state, task, WAYS)
    assert all(torch.isfinite(t).all() for part in result for t in part.values())
    assert any(float(g.abs().max()) > 0 for g in result.gradient.values())
    params = {k: p - 1e-3 * result.gradient[k] for k, p in state.params.items()}
    moved = State(params, result.buffers)
    together = algorithm.predict_by_step(moved, task, WAYS, "inductive")
    alone = task._replace(query_x=task.query_x[:1])
    one = algorithm.predict_by_step(moved, alone, WAYS, "inductive")
    assert torch.isfinite(together).all()
    torch.testing.assert_close(one[:, 0], together[:, 0], rtol=1e-9, atol=1e-10)


def test_batch_norm_equals_that_of_torch() -> None:
    """By its own statistics as in training, by given ones as in evaluation."""
    module, backbone = layers().double(), ModuleBackbone(layers, (1, 16, 16))
    params, stats = backbone.init(torch.Generator().manual_seed(0))
    params, stats = ({k: v.double() for k, v in part.items()} for part in (params, stats))
    ours = {"scale": "weight", "shift": "bias", "mean": "running_mean", "var": "running_var"}
    theirs = {f"{k.rpartition('.')[0]}.{ours.get(k.rpartition('.')[2], k.rpartition('.')[2])}": v
              for k, v in (params | stats).items()}  # fmt: skip
    module.load_state_dict(theirs, strict=False)
    x = torch.rand(5, 1, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(backbone.apply(params, x, stats)[0], module.eval()(x))
    module.train()
    module[7].eval()  # dropout
    torch.testing.assert_close(backbone.apply(params, x, None)[0], module(x))


def test_a_map_keeps_its_shape_and_the_seed_decides_the_start() -> None:
    backbone = ModuleBackbone(lambda: nn.Conv2d(1, 3, 3), (1, 8, 8))
    assert backbone.map_shape == (3, 6, 6)
    assert backbone.feature_dim == 108
    before = torch.random.get_rng_state()
    one, other, same = (
        backbone.init(torch.Generator().manual_seed(seed))[0]["weight"] for seed in (0, 1, 0)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_module_that_cannot_take_the_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"the module cannot take images of shape \(1, 8, 8\)"):
        ModuleBackbone(lambda: nn.Linear(3, 3), (1, 8, 8))
