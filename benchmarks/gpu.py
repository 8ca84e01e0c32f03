"""What a GPU does with metaray: the same results as a CPU, and how fast.

    python benchmarks/gpu.py --omniglot CACHE

Needs one CUDA device, torch, and no Ray. ``CACHE`` is the ``data.cache`` of a run on Omniglot (the
Vinyals split); without it the speedrun is left out. Five parts, each written to its file in
``results/`` when it is done, in at most nine minutes together:

``agreement``   the meta-gradient and the predictions of each method in float64, against the CPU,
                by torch.func and by rules; and CUDA graphs against ordinary calls in float32.
``memory``      peak of one MAML meta-gradient by inner steps: unrolled, recursion, rules.
``throughput``  training tasks per second in process, whole outer steps one after another, by
                method, derivatives, shard and precision, with and without CUDA graphs.
``peers``       MAML against one task after another: with torch.func, and with learn2learn where it
                is installed.
``speedrun``    seconds of training to reach an accuracy on Omniglot, 5-way 1-shot.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, product
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import Row, report
from speedrun import ENTRIES, LOGS, config_of, data_settings, run
from torch.func import functional_call, grad, vmap

from metaray.algorithms.algorithm import State
from metaray.algorithms.batching import batched_task_gradients
from metaray.algorithms.episode import Episode
from metaray.algorithms.registry import METHODS
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta import META
from metaray.platform.training.cuda_graph import CudaGraph
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import EvaluateRequest, TrainRequest, train_requests
from metaray.platform.training.meta.pool import LocalPool
from metaray.platform.training.meta.worker import TaskWorker

SHARDS = (8, 32, 128)
SECONDS = 0.2  # of one figure
DERIVATIVES = ("autograd", "rules")
INNER_STEPS = (1, 2, 5, 10, 20, 40)
FORMS = {
    "unrolled": ("workers.derivatives=autograd", "method.second_order=unrolled"),
    "recursion": ("workers.derivatives=autograd", "method.second_order=recursion"),
    "rules": ("workers.derivatives=rules",),
}


def config_for(method: str, *settings: str) -> RunConfig:
    """5-way 1-shot with 15 queries a class on conv4 (strided, 64 filters)."""
    inner = ["method.inner_steps=5"] if "inner_steps" in METHODS[method].model_fields else []
    if method == "mamlpp":  # its last phase
        inner += ["method.multi_step_share=0", "method.first_order_share=0"]
    return META.load(
        None,
        [
            f"method.name={method}",
            "model.name=conv4_strided",
            "model.width=64",
            "task.train_ways=5",
            "task.train_shots=1",
            "task.train_queries=15",
            "data.rotations=none",
            "train.outer_steps=1000000",
            "workers.count=0",
            *inner,
            *settings,
        ],
    )


def opened(config: RunConfig) -> tuple[Blueprint, TaskWorker]:
    blueprint = Blueprint.open(config)
    return blueprint, TaskWorker(blueprint)


def agreement() -> Iterator[Row]:
    for method, derivatives in product(METHODS.builtin, DERIVATIVES):
        row: Row = {"method": method, "derivatives": derivatives}
        path = f"workers.derivatives={derivatives}"
        exact = ("workers.precision=float64", "model.width=16", path)
        cpu = payloads(config_for(method, "workers.device=cpu", *exact))
        gpu = payloads(config_for(method, "workers.device=cuda", *exact))
        for name, a, b in zip(("gradient", "prediction"), cpu[2:], gpu[2:], strict=True):
            row[f"{name} off by"] = float(abs(a - b).max() / abs(a).max())
        calls = payloads(config_for(method, "workers.cuda_graphs=false", path))
        graphs = payloads(config_for(method, path))
        row["graph, same bits"] = all(map(np.array_equal, calls, graphs))
        yield row


def payloads(config: RunConfig) -> list[Any]:
    """The gradient and the predictions of two requests each: the second replays the graph."""
    blueprint, worker = opened(config)
    found = []
    for first in (0, 4):
        train = TrainRequest(step=0, shard=0, first_task=first, num_tasks=4)
        test = EvaluateRequest(split="test", first_episode=first, num_episodes=4)
        found += [worker.run(train, blueprint.initial_flat)[0]]
        found += [worker.run(test, blueprint.initial_flat)[0].outputs]
    return found


def shard_of(config: RunConfig, size: int) -> tuple[Callable[[], torch.Tensor], TaskWorker]:
    """A function that computes the summed gradient of one shard, whose tasks are on the GPU."""
    blueprint, worker = opened(config)
    request = TrainRequest(step=0, shard=0, first_task=0, num_tasks=size)
    flat = torch.from_numpy(blueprint.initial_flat).to(worker.device)
    state, episodes = blueprint.unflatten(flat), worker.training_tasks(request)()

    def work() -> torch.Tensor:
        result = batched_task_gradients(
            blueprint.algorithm, state, episodes, config.task.train_ways
        )
        return blueprint.flatten(State(result.gradient, result.buffers)).sum(0)

    return work, worker


def seconds_of(work: Callable[[], Any]) -> float:
    """Of one call: the median of three rounds, each as long as SECONDS at least."""
    work()
    torch.cuda.synchronize()
    started = perf_counter()
    work()
    torch.cuda.synchronize()
    calls = max(1, int(SECONDS / 3 / (perf_counter() - started)))
    rounds = []
    for _ in range(3):
        started = perf_counter()
        for _ in range(calls):
            work()
        torch.cuda.synchronize()
        rounds.append((perf_counter() - started) / calls)
    return median(rounds)


def memory() -> Iterator[Row]:
    for steps in INNER_STEPS:
        row: Row = {"inner steps": steps}
        for form, settings in FORMS.items():
            with released():
                work, _ = shard_of(config_for("maml", f"method.inner_steps={steps}", *settings), 32)
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                work()
                row[f"{form} MB"] = (torch.cuda.max_memory_allocated() - before) / 2**20
        yield row


def throughput(methods: list[str], paths: list[str]) -> Iterator[Row]:
    for method in methods:
        for shard in SHARDS:
            for precision in PRECISIONS if shard == 32 else PRECISIONS[:1]:
                for derivatives in paths:
                    if precision == "bfloat16" and derivatives == "rules":
                        continue
                    with released():
                        yield throughput_row(method, shard, precision, derivatives)


def throughput_row(method: str, shard: int, precision: str, derivatives: str) -> Row:
    config = config_for(
        method,
        f"workers.precision={precision}",
        f"train.meta_batch_size={shard}",
        f"train.shard_size={shard}",
        f"workers.derivatives={derivatives}",
    )
    row: Row = {
        "method": method,
        "derivatives": derivatives,
        "shard": shard,
        "precision": precision,
    }
    for graphs in (False, True):
        name = "graphs" if graphs else "calls"
        try:
            row |= step_rate(config, graphs, name)
        except torch.cuda.OutOfMemoryError:
            row[name] = "out of memory"
    return row


def step_rate(config: RunConfig, graphs: bool, name: str) -> Row:
    """Tasks per second of whole outer steps in process, and the share of sampling."""
    workers = config.workers.model_copy(update={"cuda_graphs": graphs})
    config = config.model_copy(update={"workers": workers})
    pool = LocalPool(Blueprint.open(config))
    steps = count()
    sampling = []

    def step() -> None:
        result = pool.train_step(train_requests(next(steps), config.train))
        (shard,) = result.shards
        sampling.append(shard.sample_s / (shard.sample_s + shard.compute_s))

    rate = config.train.meta_batch_size / seconds_of(step)
    peak = torch.cuda.max_memory_allocated() / 2**20
    return {name: rate, f"{name} MB": peak, f"{name} sampling": median(sampling)}


@contextmanager
def released() -> Iterator[None]:
    """Start with an empty cache of the GPU, and with a new count of its peak memory."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    yield


class Plain(torch.nn.Sequential):
    """The network of the comparison as a module: four strided blocks, the mean, a linear head."""

    def __init__(self) -> None:
        layers: list[torch.nn.Module] = []
        for channels in (1, 64, 64, 64):
            layers += [
                torch.nn.Conv2d(channels, 64, 3, 2, 1),
                torch.nn.BatchNorm2d(64, track_running_stats=False),
                torch.nn.ReLU(),
            ]
        super().__init__(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        self.append(torch.nn.Linear(64, 5))


def peers() -> Iterator[Row]:
    for steps, queries in ((5, 15), (1, 1)):
        settings = (f"method.inner_steps={steps}", f"task.train_queries={queries}")
        row: Row = {"setup": f"{steps} steps, {queries} queries"}
        for derivatives in DERIVATIVES:
            config = config_for("maml", f"workers.derivatives={derivatives}", *settings)
            work, worker = shard_of(config, 128)
            row[f"{derivatives}, calls"] = 128 / seconds_of(work)
            row[f"{derivatives}, graph"] = 128 / seconds_of(CudaGraph(work, []))
        request = TrainRequest(step=0, shard=0, first_task=0, num_tasks=8)
        episodes = worker.training_tasks(request)()
        row["torch.func loop"] = 8 / seconds_of(func_loop(episodes, steps))
        row["torch.func vmap"] = 8 / seconds_of(func_vmap(episodes, steps))
        row["learn2learn"] = learn2learn_rate(episodes, steps)
        yield row


def meta_loss(net: Plain, steps: int) -> Callable[..., torch.Tensor]:
    def loss(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(functional_call(net, params, (x,)), y)

    def after_steps(params: Any, sx: Any, sy: Any, qx: Any, qy: Any) -> torch.Tensor:
        for _ in range(steps):
            gradient = grad(loss)(params, sx, sy)
            params = {name: p - 0.4 * gradient[name] for name, p in params.items()}
        return loss(params, qx, qy)

    return grad(after_steps)


def func_loop(episodes: Episode, steps: int) -> Callable[[], None]:
    net = Plain().cuda()
    params, gradient = dict(net.named_parameters()), meta_loss(net, steps)

    def work() -> None:
        for task in zip(*episodes[:4], strict=True):
            gradient(params, *task)

    return work


def func_vmap(episodes: Episode, steps: int) -> Callable[[], Any]:
    net = Plain().cuda()
    params = dict(net.named_parameters())
    batched = vmap(meta_loss(net, steps), in_dims=(None, 0, 0, 0, 0))
    return lambda: batched(params, *episodes[:4])


def learn2learn_rate(episodes: Episode, steps: int) -> float | str:
    try:
        from learn2learn.algorithms import MAML
    except Exception as error:  # an import of it may be missing
        return f"not there ({error})"[:60]
    learner = MAML(Plain().cuda(), lr=0.4)

    def work() -> None:
        learner.zero_grad()
        for sx, sy, qx, qy in zip(*episodes[:4], strict=True):
            clone = learner.clone()
            for _ in range(steps):
                clone.adapt(F.cross_entropy(clone(sx), sy))
            F.cross_entropy(clone(qx), qy).backward()

    return len(episodes.support_x) / seconds_of(work)


def speedrun(cache: str, seconds: float) -> Iterator[Row]:
    """The entries of ``speedrun.py``, each with its log."""
    for entry in ENTRIES:
        config = config_of(entry, data_settings(cache), ["workers.precision=tf32"])
        yield run(entry, config, seconds, first_test=1.0, log=LOGS / f"{entry}-gpu.jsonl")


PRECISIONS = ("float32", "tf32", "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--omniglot", help="data.cache of a run on Omniglot")
    parser.add_argument("--speedrun-s", type=float, default=60, help="of training, for each method")
    parser.add_argument("--methods", nargs="*", default=list(METHODS.builtin))
    parser.add_argument("--derivatives", nargs="*", default=DERIVATIVES, choices=DERIVATIVES)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("skipped: torch finds no CUDA device")
    device = torch.cuda.get_device_name()
    for part in arguments.parts:
        started = perf_counter()
        if part == "speedrun" and arguments.omniglot is None:
            continue
        rows = list(PARTS[part](arguments))
        report(f"gpu_{part}", rows, device=device, seconds=perf_counter() - started)


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "agreement": lambda _: agreement(),
    "memory": lambda _: memory(),
    "throughput": lambda a: throughput(a.methods, a.derivatives),
    "peers": lambda _: peers(),
    "speedrun": lambda a: speedrun(a.omniglot, a.speedrun_s),
}

if __name__ == "__main__":
    main()
