"""Small real networks and episodes in float64, shared by the tests of the methods."""

from __future__ import annotations

import torch
from torch import Tensor

from metaray.algorithms.algorithm import Algorithm, State
from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.episode import Episode
from metaray.algorithms.losses import Kind
from metaray.algorithms.method_configs import (
    ANILConfig,
    BaselineConfig,
    BaselinePPConfig,
    FOMAMLConfig,
    MAMLConfig,
    MAMLPlusPlusConfig,
    MANNConfig,
    MatchingConfig,
    MetaSGDConfig,
    MethodSection,
    ProtoMAMLConfig,
    ProtoNetConfig,
    RelationConfig,
    ReptileConfig,
    SiameseConfig,
    SNAILConfig,
)
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
    "protomaml": ProtoMAMLConfig(
        inner_lr=0.1, inner_steps=2, eval_inner_steps=2, second_order="auto"
    ),
    "matching": MatchingConfig(temperature=0.1, full_context=True),
    "relation": RelationConfig(),
    "siamese": SiameseConfig(),
    "mann": MANNConfig(controller_width=12, memory_slots=8, memory_width=6, read_heads=2),
    "snail": SNAILConfig(width=8, sequence_length=7),
    "baseline": BaselineConfig(eval_inner_steps=20, eval_inner_lr=0.3),
    "baselinepp": BaselinePPConfig(eval_inner_steps=20, eval_inner_lr=0.3),
}

# names, or beginnings of names, of the weights that read labels beside features
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
    """Three classes, each a random picture with noise; labels in mixed order."""
    generator = torch.Generator().manual_seed(seed)
    prototypes = torch.rand(WAYS, 1, 16, 16, generator=generator, dtype=torch.float64)

    def part(per_class: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(WAYS).repeat(per_class)
        y = y[torch.randperm(len(y), generator=generator)]
        noise = torch.rand(len(y), 1, 16, 16, generator=generator, dtype=torch.float64)
        return prototypes[y] + 0.5 * noise, y

    return Episode(*part(shots), *part(queries))


def labelling(seed: int) -> Episode:
    """The same three pictures in every task, with noise, under labels that the seed permutes."""
    generator = torch.Generator().manual_seed(99)
    prototypes = torch.rand(WAYS, 1, 16, 16, generator=generator, dtype=torch.float64)
    generator.manual_seed(1000 + seed)
    prototypes = prototypes[torch.randperm(WAYS, generator=generator)]

    def part(per_class: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(WAYS).repeat(per_class)
        y = y[torch.randperm(len(y), generator=generator)]
        noise = torch.rand(len(y), 1, 16, 16, generator=generator, dtype=torch.float64)
        return prototypes[y] + 0.3 * noise, y

    return Episode(*part(2), *part(3))


def wave(seed: int = 0, points: int = 6) -> Episode:
    """A regression task."""
    generator = torch.Generator().manual_seed(seed)
    x = 4 * torch.rand(2 * points, 1, generator=generator, dtype=torch.float64) - 2
    y = 2 * torch.sin(x + seed)
    return Episode(x[:points], y[:points], x[points:], y[points:])


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor], relative: float = 1e-10) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=relative, atol=1e-12, msg=name)
