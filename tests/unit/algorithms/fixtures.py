"""Small real networks and episodes in float64, shared by the tests of the methods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from metaray.algorithms.algorithm import Algorithm, State
from metaray.algorithms.batching import batched_task_gradients
from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.episode import Episode
from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.anil_config import ANILConfig
from metaray.algorithms.methods.baseline_config import BaselineConfig, BaselinePPConfig
from metaray.algorithms.methods.caml_config import CAMLConfig
from metaray.algorithms.methods.heads_config import (
    LaplacianShotConfig,
    LDAConfig,
    LogisticConfig,
    NearestMeanConfig,
    NearestNeighboursConfig,
    PTMAPConfig,
    RidgeConfig,
)
from metaray.algorithms.methods.imaml_config import ImplicitMAMLConfig
from metaray.algorithms.methods.maml_config import FOMAMLConfig, MAMLConfig
from metaray.algorithms.methods.mamlpp_config import MAMLPlusPlusConfig
from metaray.algorithms.methods.mann_config import MANNConfig
from metaray.algorithms.methods.matching_config import MatchingConfig
from metaray.algorithms.methods.metasgd_config import MetaSGDConfig
from metaray.algorithms.methods.method_section import MethodSection
from metaray.algorithms.methods.protomaml_config import ProtoMAMLConfig
from metaray.algorithms.methods.protonet_config import ProtoNetConfig
from metaray.algorithms.methods.relation_config import RelationConfig
from metaray.algorithms.methods.reptile_config import ReptileConfig
from metaray.algorithms.methods.siamese_config import SiameseConfig
from metaray.algorithms.methods.snail_config import SNAILConfig
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.registry import build_algorithm

WAYS = 3
SMALL: dict[str, MethodSection] = {
    "maml": MAMLConfig(inner_lr=0.3, inner_steps=2, eval_inner_steps=2),
    "fomaml": FOMAMLConfig(inner_lr=0.3, inner_steps=2, eval_inner_steps=2),
    "anil": ANILConfig(inner_lr=0.3, inner_steps=2, eval_inner_steps=2),
    "reptile": ReptileConfig(inner_lr=0.01, inner_steps=3, inner_batch=4, eval_inner_steps=4),
    "protonet": ProtoNetConfig(),
    "mamlpp": MAMLPlusPlusConfig(
        inner_lr=0.3, inner_steps=2, first_order_share=0.0, running_statistics=True
    ),
    "metasgd": MetaSGDConfig(inner_lr_high=0.05, inner_steps=2, eval_inner_steps=2),
    "imaml": ImplicitMAMLConfig(
        inner_lr=0.2, inner_steps=3, eval_inner_steps=3, proximal=1.0, cg_steps=2
    ),
    "protomaml": ProtoMAMLConfig(
        inner_lr=0.1, inner_steps=2, eval_inner_steps=2, second_order="auto"
    ),
    "matching": MatchingConfig(temperature=0.1, full_context=True),
    "relation": RelationConfig(),
    "siamese": SiameseConfig(),
    "mann": MANNConfig(controller_width=12, memory_slots=8, memory_width=6, read_heads=2),
    "snail": SNAILConfig(width=8, sequence_length=7),
    "caml": CAMLConfig(layers=2, heads=2, width=24, label_width=8, max_ways=4),
    "baseline": BaselineConfig(eval_inner_steps=20, eval_inner_lr=0.3),
    "baselinepp": BaselinePPConfig(eval_inner_steps=20, eval_inner_lr=0.3),
    "nearest_mean": NearestMeanConfig(metric="euclidean"),
    "knn": NearestNeighboursConfig(metric="euclidean"),
    "logistic": LogisticConfig(normalise=False, penalty=1.0),
    "ridge": RidgeConfig(normalise=False, penalty=0.1),
    "lda": LDAConfig(normalise=False),
    "pt_map": PTMAPConfig(steps=3, sinkhorn_iterations=5),
    "laplacianshot": LaplacianShotConfig(neighbours=8, steps=3),  # all of them: a tie has no slope
}


class Learning(NamedTuple):
    """How a method learns ``labelling`` in seconds."""

    steps: int
    meta_lr: float = 0.03
    optimizer: str = "Adam"
    changes: dict[str, Any] = {}  # noqa: RUF012
    """to the settings in SMALL"""
    by_heart: int = 20
    """steps after which it knows labels that are never renamed"""


LEARNING: dict[str, Learning] = dict.fromkeys(SMALL, Learning(20)) | {
    "maml": Learning(40, by_heart=30),
    "fomaml": Learning(30),
    "anil": Learning(30),
    "mamlpp": Learning(40),
    "imaml": Learning(40),
    "relation": Learning(60, 0.02),
    "snail": Learning(60, 0.01),
    "caml": Learning(60, 0.02),
    "lda": Learning(30),
    "mann": Learning(
        130, 0.01, changes={"controller_width": 40, "memory_slots": 16, "memory_width": 20}
    ),
    "reptile": Learning(
        40,
        0.5,
        "SGD",
        {
            "inner_optimizer": "sgd",
            "inner_lr": 0.5,
            "inner_steps": 6,
            "inner_batch": 6,
            "eval_inner_steps": 6,
            "eval_inner_batch": 6,
        },
    ),
}

# names, or beginnings of names, of the weights that read labels beside features; caml has vectors
# for labels, and its own test
LABEL_READERS: dict[str, tuple[str, ...]] = {
    "mann": ("controller.input",),
    "snail": ("convolution", "attention", "head"),
}


def algorithm_for(
    config: MethodSection, *, model: str = "conv4_strided", kind: Kind = "classification"
) -> Algorithm:
    outputs = WAYS if kind == "classification" else 1
    shape = (1, 16, 16) if kind == "classification" else (1,)
    backbone = build_backbone(ModelConfig(name=model, width=4), shape)  # type: ignore[arg-type]
    return build_algorithm(config, backbone, kind, outputs)  # type: ignore[arg-type]


def state_of(algorithm: Algorithm, seed: int = 0) -> State:
    state = algorithm.init(seed)
    return State(*({k: v.double() for k, v in part.items()} for part in state))


def episode(seed: int = 0, shots: int = 2, queries: int = 3) -> Episode:
    """Three classes, each a random image with noise; labels in mixed order."""
    generator = torch.Generator().manual_seed(seed)
    prototypes = torch.rand(WAYS, 1, 16, 16, generator=generator, dtype=torch.float64)

    def part(per_class: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(WAYS).repeat(per_class)
        y = y[torch.randperm(len(y), generator=generator)]
        noise = torch.rand(len(y), 1, 16, 16, generator=generator, dtype=torch.float64)
        return prototypes[y] + 0.4 * noise, y

    return Episode(*part(shots), *part(queries))


def labelling(seed: int, renamed: bool = True) -> Episode:
    """The same three images in every task, under much noise and labels that the seed permutes.

    One image is hard to tell from another; a method that knows all three can. Not ``renamed``,
    the labels are the same in every task too.
    """
    generator = torch.Generator().manual_seed(99)
    prototypes = torch.rand(WAYS, 1, 16, 16, generator=generator, dtype=torch.float64)
    generator.manual_seed(1000 + seed)
    if renamed:
        prototypes = prototypes[torch.randperm(WAYS, generator=generator)]

    def part(per_class: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(WAYS).repeat(per_class)
        y = y[torch.randperm(len(y), generator=generator)]
        noise = torch.randn(len(y), 1, 16, 16, generator=generator, dtype=torch.float64)
        return prototypes[y] + 0.4 * noise, y

    return Episode(*part(2), *part(4))


def meta_train(
    algorithm: Algorithm, state: State, tasks: Iterator[Episode], optimizer: str, meta_lr: float
) -> State:
    """The state after an outer step on each of ``tasks``, stacked episodes."""
    leaves = {k: v.clone() for k, v in state.params.items()}
    outer = getattr(torch.optim, optimizer)(leaves.values(), lr=meta_lr)
    for stacked in tasks:
        result = batched_task_gradients(algorithm, state, stacked, WAYS)
        for k, v in leaves.items():
            v.grad = result.gradient[k].mean(0)
        outer.step()
        state = State(
            {k: v.detach().clone() for k, v in leaves.items()},
            {k: v.mean(0) for k, v in result.buffers.items()},
        )
    return state


def draw_statistics(module: nn.Module) -> None:
    """Give its batch norms running statistics that are not those of a fresh one."""
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn_like(buffer))
        elif name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand_like(buffer))


def wave(seed: int = 0, points: int = 6) -> Episode:
    """A regression task."""
    generator = torch.Generator().manual_seed(seed)
    x = 4 * torch.rand(2 * points, 1, generator=generator, dtype=torch.float64) - 2
    y = 2 * torch.sin(x + seed)
    return Episode(x[:points], y[:points], x[points:], y[points:])


def assert_same(
    a: dict[str, Tensor], b: dict[str, Tensor], relative: float = 1e-10, of_largest: float = 0.0
) -> None:
    """To ``relative`` in each number, or to ``of_largest`` of the largest number of its tensor."""
    assert a.keys() == b.keys()
    for name in a:
        least = max(1e-12, of_largest * float(b[name].abs().max()))
        torch.testing.assert_close(a[name], b[name], rtol=relative, atol=least, msg=name)
