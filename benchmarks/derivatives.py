"""Training tasks per CPU second by rules, by ``torch.func``, and by a peer, in turns on one core.

    python benchmarks/derivatives.py

Conv4 with 64 filters (strided for methods with an inner loop, pooled for ProtoNet and the
baseline), 5-way 1-shot on built-in characters, a shard of 8 tasks, one thread. Sampling is not
counted. Every figure is the median over the rounds of one run, and a ratio the median of the
ratios of the rounds, with the least and the greatest; its denominator is the peer.

The peer is learn2learn for MAML and first-order MAML, where it is installed, and plain PyTorch for
ProtoNet, Reptile and the baseline: a ``torch.nn`` network of the same form, one task
after another as their public implementations do, on random images. learn2learn 0.2.0 was released
with C sources that Python 3.11 and later do not compile. What works is, in an empty folder::

    pip download learn2learn==0.2.0 --no-deps --no-binary :all:
    tar xzf learn2learn-0.2.0.tar.gz && cd learn2learn-0.2.0
    pip install cython gym && python setup.py build_ext --inplace
    export PYTHONPATH=$PWD
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import torch
from common import Row, report
from throughput import SETUPS, config_for, has_inner_steps
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metaray.algorithms.batching import batched_task_gradients
from metaray.platform.config.loading import override
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import train_requests
from metaray.platform.training.meta.worker import TaskWorker

WAYS, TASKS = 5, 8
METHODS = ("maml", "fomaml", "metasgd", "anil", "mamlpp", "protomaml", "reptile", "protonet",
           "baseline")  # fmt: skip
Compute = Callable[[], None]
"""The gradients of a shard of ``TASKS`` tasks."""


def ours(method: str, steps: int, queries: int) -> dict[str, Compute]:
    """By rules and by ``torch.func``, on the same tasks."""
    config = override(
        config_for(method, steps, queries, 0),
        [f"model.name={'conv4_strided' if has_inner_steps(method) else 'conv4'}"],
    )
    blueprint = Blueprint.open(config)
    tasks = TaskWorker(blueprint).training_tasks(train_requests(0, config.train)[0])()
    algorithm, state = blueprint.algorithm, blueprint.initial

    def compute(rules: bool) -> None:
        algorithm.rules = rules
        batched_task_gradients(algorithm, state, tasks, WAYS)

    return {"rules": lambda: compute(True), "torch.func": lambda: compute(False)}


def network(pooled: bool, outputs: int | None) -> nn.Module:
    """The conv4 of Vinyals et al., or the strided one of Finn et al."""
    layers: list[nn.Module] = []
    for channels in (1, 64, 64, 64):
        layers.append(nn.Conv2d(channels, 64, 3, stride=1 if pooled else 2, padding=1))
        layers += [nn.BatchNorm2d(64), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pooled else []
    layers += [nn.Flatten()] if pooled else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *([nn.Linear(64, outputs)] if outputs else []))


def images(per_class: int) -> tuple[Tensor, Tensor]:
    y = torch.arange(WAYS).repeat_interleave(per_class)
    return torch.rand(TASKS, len(y), 1, 28, 28), y


def with_learn2learn(method: str, steps: int, queries: int) -> Compute | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import learn2learn as l2l  # type: ignore[import-not-found]
    except ImportError:
        return None
    model = l2l.vision.models.OmniglotCNN(WAYS)
    learner = l2l.algorithms.MAML(model, lr=0.4, first_order=method == "fomaml")
    (sx, sy), (qx, qy) = images(1), images(queries)

    def compute() -> None:
        learner.zero_grad()
        for task in range(TASKS):
            clone = learner.clone()
            for _ in range(steps):
                clone.adapt(cross_entropy(clone(sx[task]), sy))
            cross_entropy(clone(qx[task]), qy).backward()

    return compute


def plain_protonet(queries: int) -> Compute:
    model = network(True, None)
    (sx, _), (qx, qy) = images(1), images(queries)

    def compute() -> None:
        model.zero_grad()
        for task in range(TASKS):
            features = model(torch.cat([sx[task], qx[task]]))
            prototypes = features[:WAYS].unflatten(0, (WAYS, -1)).mean(1)
            cross_entropy(-torch.cdist(features[WAYS:], prototypes).square(), qy).backward()

    return compute


def plain_baseline(batch: int) -> Compute:
    model = network(True, 200)
    x, y = torch.rand(TASKS, batch, 1, 28, 28), torch.randint(200, (batch,))

    def compute() -> None:
        model.zero_grad()
        for task in range(TASKS):
            cross_entropy(model(x[task]), y).backward()

    return compute


def plain_reptile(steps: int, batch: int, shots: int) -> Compute:
    model = network(False, WAYS)
    x, y = images(shots)
    start = {name: value.clone() for name, value in model.state_dict().items()}

    def compute() -> None:
        for task in range(TASKS):
            model.load_state_dict(start)
            inner = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.0, 0.999))
            for step in range(steps):
                rows = torch.arange(step * batch, (step + 1) * batch) % len(y)
                inner.zero_grad()
                cross_entropy(model(x[task][rows]), y[rows]).backward()
                inner.step()

    return compute


def peer(method: str, steps: int, queries: int) -> tuple[str, Compute | None]:
    if method in ("maml", "fomaml"):
        return "learn2learn", with_learn2learn(method, steps, queries)
    if method == "protonet":
        return "PyTorch", plain_protonet(queries)
    if method == "baseline":
        return "PyTorch", plain_baseline(config_for(method, steps, queries, 0).method.batch_size)  # type: ignore[attr-defined]
    if method == "reptile":
        config: Any = config_for(method, steps, queries, 0)
        return "PyTorch", plain_reptile(
            config.method.inner_steps, config.method.inner_batch, config.task.train_shots
        )
    return "", None


def rates(ways: dict[str, Compute], rounds: int) -> dict[str, list[float]]:
    """Tasks per CPU second of each, in turns; the first round warms up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, compute in ways.items():
            started = process_time()
            compute()
            if turn:
                found[name].append(TASKS / (process_time() - started))
    return found


def measure(method: str, setup: str, rounds: int) -> Row:
    steps, queries = SETUPS[setup]
    name, other = peer(method, steps, queries)
    found = rates(
        ours(method, steps, queries) | ({"peer": other} if other is not None else {}), rounds
    )

    def ratio(below: str) -> str:
        if below not in found:
            return "-"
        each = [a / b for a, b in zip(found["rules"], found[below], strict=True)]
        return f"{median(each):.2f} ({min(each):.2f} to {max(each):.2f})"

    return {
        "method": method,
        "setup": setup if has_inner_steps(method) else f"{queries} queries",
        "peer": name if other is not None else "-",
        "peer's": median(found["peer"]) if "peer" in found else "-",
        "torch.func": median(found["torch.func"]),
        "rules": median(found["rules"]),
        "rules : torch.func": ratio("torch.func"),
        "rules : peer": ratio("peer"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds per figure")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        measure(method, setup, arguments.rounds)
        for setup in SETUPS
        for method in arguments.methods
        if has_inner_steps(method) or setup != "1 step, 1 query"
    ]
    report("derivatives", rows, rounds=arguments.rounds, tasks=TASKS)


if __name__ == "__main__":
    main()
