"""The loop of transfer jobs: the same result however it is shared out or interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.transfer.batches import Stream
from metaray.platform.common.errors import NonFiniteError
from metaray.platform.run.checkpoint import Checkpoint, params_sha256
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.training.transfer.communicator import SingleProcess

TARGET = ["target.name=arrays", "target.division=random", "target.root={root}/test.npz"]
JOBS: dict[str, list[str]] = {
    "dropout": ["job.dropout=0.5", "train.clip_norm=1"],
    "gradual": ["job.strategy=gradual", "train.optimizer=adam", "train.warmup=0.3"],
    "l2_sp": ["job.l2_sp=0.1", "train.optimizer=adamw", "train.schedule=dann"],
    "dann": ["job.name=dann", "model.norm=batch", *TARGET],
    "simclr": ["job.name=simclr", "train.optimizer=lars"],
    "moco": ["job.name=moco", "job.queue_size=24", "job.momentum=0.9"],
}
Make = Callable[..., Any]


def settings(squares: list[str], name: str) -> list[str]:
    root = next(item for item in squares if item.startswith("data.root=")).partition("=")[2]
    return [item.format(root=root) for item in JOBS[name]]


def same(one: Checkpoint, other: Checkpoint, tolerance: float = 0.0) -> None:
    assert one.step == other.step
    assert one.tensors.keys() == other.tensors.keys()
    for name, value in one.tensors.items():
        torch.testing.assert_close(value, other.tensors[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", JOBS)
def test_the_number_of_processes_does_not_change_the_result(
    job: Make, squares: list[str], name: str
) -> None:
    """With dropout, with batch norm, and where the loss couples images of different processes."""
    sets = settings(squares, name)
    alone, two = job(*sets), job(*sets)
    same(alone.train(), two.train(size=2))
    assert alone.rows[-1]["loss"] == two.rows[-1]["loss"]
    results = [json.loads((j.run.evaluations / "test.json").read_text()) for j in (alone, two)]
    assert results[0]["accuracy"] == results[1]["accuracy"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", JOBS)
def test_a_gpu_agrees_with_the_cpu(job: Make, squares: list[str], name: str) -> None:
    sets = settings(squares, name)
    on_cpu, on_gpu = job(*sets), job(*sets, "workers.device=cuda")
    same(on_cpu.train(), on_gpu.train(), 1e-9)
    again = job(*sets, "workers.device=cuda")
    assert params_sha256(again.train()) == params_sha256(on_gpu.store.latest())


def test_processes_without_a_shard_compute_along(job: Make) -> None:
    few = ["train.batch_size=4"]  # one shard
    same(job(*few).train(), job(*few).train(size=3))


def test_one_shard_is_the_batch_of_plain_torch(job: Make) -> None:
    """Two steps of SGD with momentum, weight decay on weights alone, batch norm over the batch."""
    tiny = job(
        "train.shard_size=12", "train.steps=2", "train.validate_every=0", "train.schedule=constant",
        "train.weight_decay=0.1",
    )  # fmt: skip
    blueprint, start = tiny.blueprint, tiny.beginning.checkpoint
    backbone = blueprint.objective.backbone
    params = {n: p.requires_grad_() for n, p in start.named[0].items()}
    decayed = [p for p in params.values() if p.ndim > 1]
    rest = [p for p in params.values() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9)
    source = tiny.domains.source
    for step in range(2):
        rows = Stream(source.count("train"), 12, 0, 0).batch(step)
        x, y = source.images("train", rows).double(), source.labels("train")[rows]
        features, _ = backbone.apply(params, x, None)
        logits = F.linear(features, params["head.weight"], params["head.bias"])
        optimizer.zero_grad()
        F.cross_entropy(logits, torch.from_numpy(y)).backward()
        optimizer.step()
    last = tiny.train()
    for name, value in last.named[0].items():
        torch.testing.assert_close(value, params[name].detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["dropout", "moco"])
def test_a_job_that_was_stopped_goes_on_to_the_same_bits(
    job: Make, squares: list[str], name: str
) -> None:
    undisturbed, stopped = (job(*settings(squares, name)) for _ in range(2))
    calls = iter(range(100))
    assert stopped.trainer(SingleProcess(), stop=lambda: next(calls) >= 2).run()
    assert 0 < stopped.store.latest().step < 6
    assert not (stopped.run.evaluations / "test.json").exists()
    same(stopped.train(), undisturbed.train())
    assert params_sha256(stopped.store.latest()) == params_sha256(undisturbed.store.latest())
    keys = ("step", "loss", "lr", "val_accuracy")
    logged = [
        [{key: row.get(key) for key in keys} for row in MetricsLog.read(j.run.metrics)]
        for j in (stopped, undisturbed)
    ]
    assert logged[0] == logged[1]


def test_a_loss_that_is_not_finite_changes_nothing(job: Make, monkeypatch: Any) -> None:
    tiny = job("train.lr=1e300", "train.schedule=constant", "train.checkpoint_every=1")
    with pytest.raises(NonFiniteError, match="lower train.lr"):
        tiny.train()
    last = tiny.store.latest()
    assert torch.isfinite(last.tensors["buffers.block0.norm.mean"]).all()
    assert last.step == len(tiny.rows) < 6


def test_training_ends_when_validation_no_longer_improves(job: Make) -> None:
    tiny = job("train.steps=200", "train.validate_every=2", "train.patience=3", "train.lr=0.05")
    last = tiny.train()
    assert last.step < 200
    assert last.step == last.best_step + 3 * 2
    best = max(row["val_accuracy"] for row in tiny.rows if "val_accuracy" in row)
    assert last.best_score == best


@pytest.mark.parametrize("size", [1, 2])
def test_a_time_budget_ends_all_processes_at_one_step_and_tests(job: Make, size: int) -> None:
    """The first process watches the clock; a step tells the others."""
    sets = ["train.steps=100000", "train.validate_every=90000", "train.time_budget_s=0.3"]
    tiny = job(*sets)
    last = tiny.train(size=size)
    assert 0 < last.step < 100_000
    assert last.best_step == last.step == tiny.rows[-1]["step"]
    assert (tiny.run.evaluations / "test.json").exists()


def test_a_stop_reaches_all_processes_with_a_step(job: Make) -> None:
    tiny = job()
    tiny.train(size=2, stop=lambda: len(tiny.rows) >= 2)
    assert tiny.store.latest().step == 3
    assert not (tiny.run.evaluations / "test.json").exists()


def test_frozen_layers_keep_weights_statistics_and_momentum(job: Make) -> None:
    tiny = job("job.strategy=last_blocks", "job.last_blocks=1")
    start, last = tiny.beginning.checkpoint, tiny.train()
    moved = {
        name
        for part, other in zip(start.named, last.named, strict=True)
        for name, value in part.items()
        if not torch.equal(value, other[name])
    }
    norm = {f"block3.norm.{kind}" for kind in ("scale", "shift", "mean", "var")}
    assert moved == {"block3.conv", "head.weight", "head.bias"} | norm
    slots = {name.split(".", 2)[2] for name in last.tensors if name.startswith("optimizer.")}
    assert slots == {n for n in moved if not n.endswith(("mean", "var"))}


def test_gradual_unfreezing_reaches_the_first_layer(job: Make) -> None:
    tiny = job("job.strategy=gradual", "train.steps=8")
    last = tiny.train()
    start = tiny.beginning.checkpoint
    assert not torch.equal(start.named[0]["block0.conv"], last.named[0]["block0.conv"])


def test_predictions_do_not_depend_on_the_batch_they_are_made_in(job: Make) -> None:
    tiny = job()
    objective, last = tiny.blueprint.objective, tiny.train()
    x: Tensor = tiny.domains.source.images("test", torch.arange(8).numpy()).double()
    state = State(*last.named)
    together = objective.predict(state, x)
    apart = torch.cat([objective.predict(state, one) for one in x.split(1)])
    torch.testing.assert_close(together, apart)


def test_it_learns(job: Make) -> None:
    tiny = job("train.steps=40", "train.validate_every=10", "train.lr=0.05")
    tiny.train()
    assert json.loads((tiny.run.evaluations / "test.json").read_text())["accuracy"] > 0.9
