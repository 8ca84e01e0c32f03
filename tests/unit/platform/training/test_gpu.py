"""What a CUDA device must do: the results of the CPU, and the same bits in every way of computing.

Left out where there is no such device. Nothing here needs Ray.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metaray.algorithms.registry import METHODS
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta import META
from metaray.platform.run.checkpoint import params_sha256
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import EvaluateRequest, TrainRequest, train_requests
from metaray.platform.training.meta.pool import LocalPool
from metaray.platform.training.meta.worker import TaskWorker

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


Overrides = Callable[[str], list[str]]
"""of a method, by its name"""


def config_of(tiny_of: Overrides, method: str, *more: str) -> RunConfig:
    return META.load(None, [*tiny_of(method), *more])


def payloads(config: RunConfig, step: int = 0) -> list[Any]:
    """A gradient and predictions, twice: the second time a CUDA graph is replayed."""
    blueprint = Blueprint.open(config)
    worker = TaskWorker(blueprint)
    found: list[Any] = []
    for first in (0, 3):
        train = TrainRequest(step=step, shard=0, first_task=first, num_tasks=3)
        test = EvaluateRequest(split="test", first_episode=first, num_episodes=3)
        found.append(worker.run(train, blueprint.initial_flat)[0])
        found.append(worker.run(test, blueprint.initial_flat)[0].outputs)
    return found


def params_after(config: RunConfig, steps: int = 5) -> str:
    pool = LocalPool(Blueprint.open(config))
    for step in range(steps):
        pool.train_step(train_requests(step, config.train))
    return params_sha256(pool.snapshot())


@pytest.fixture(params=["autograd", "rules"])
def path(request: pytest.FixtureRequest) -> str:
    return f"workers.derivatives={request.param}"


@pytest.mark.parametrize("method", METHODS.builtin)
def test_every_method_agrees_with_the_cpu(tiny_of: Overrides, method: str, path: str) -> None:
    exact = ("workers.precision=float64", path)
    cpu, gpu = (
        payloads(config_of(tiny_of, method, f"workers.device={device}", *exact))
        for device in ("cpu", "cuda")
    )
    for ours, theirs in zip(gpu, cpu, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * abs(theirs).max())


@pytest.mark.parametrize("method", METHODS.builtin)
def test_cuda_graphs_do_not_change_a_bit(tiny_of: Overrides, method: str, path: str) -> None:
    with_graphs, without = (
        payloads(config_of(tiny_of, method, f"workers.cuda_graphs={graphs}", path))
        for graphs in ("true", "false")
    )
    assert all(map(np.array_equal, with_graphs, without))


@pytest.mark.parametrize("step", [0, 1, 5])  # of 6: losses move, first order, exact
def test_cuda_graphs_follow_what_mamlpp_anneals(tiny_of: Overrides, path: str, step: int) -> None:
    with_graphs, without = (
        payloads(config_of(tiny_of, "mamlpp", f"workers.cuda_graphs={graphs}", path), step)
        for graphs in ("true", "false")
    )
    assert all(map(np.array_equal, with_graphs, without))


@pytest.mark.parametrize("method", ["maml", "protonet", "baseline", "mamlpp"])
def test_a_training_repeats_its_bits(tiny_of: Overrides, method: str) -> None:
    config = config_of(tiny_of, method)
    assert params_after(config) == params_after(config)


def test_images_on_the_device_are_those_of_the_cpu(
    tiny_of: Overrides, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tiny_of, "protonet", "data.rotations=train")
    on_device = params_after(config)
    monkeypatch.setattr(
        "metaray.platform.training.meta.worker.images_on", lambda device, source: None
    )
    assert params_after(config) == on_device


def test_tf32_is_used_only_where_it_is_asked_for(tiny_of: Overrides) -> None:
    wide = ("model.width=64", "workers.device=cuda")
    exact = payloads(config_of(tiny_of, "maml", *wide, "workers.precision=float64"))[1]
    errors = {}
    for precision in ("float32", "tf32"):
        found = payloads(config_of(tiny_of, "maml", *wide, f"workers.precision={precision}"))[1]
        errors[precision] = float(abs(found - exact).max() / abs(exact).max())
    assert errors["float32"] < 1e-4 < errors["tf32"]


def test_a_method_that_waits_for_the_device_is_computed_without_a_graph(
    tiny_of: Overrides, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tiny_of, "protonet", "workers.derivatives=autograd")
    expected = params_after(config)
    from metaray.algorithms.methods.protonet import ProtoNet

    gradient = ProtoNet.task_gradient

    def waiting(self: Any, *args: Any, **kwargs: Any) -> Any:
        torch.cuda.synchronize()
        return gradient(self, *args, **kwargs)

    monkeypatch.setattr(ProtoNet, "task_gradient", waiting)
    with pytest.warns(UserWarning, match="no CUDA graph of this method"):
        assert params_after(config) == expected
