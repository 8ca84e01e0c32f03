"""Layers with rules give what ``torch.func`` gives: every method, every network that has them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fixtures import SMALL, WAYS, algorithm_for, assert_same, episode, state_of, wave

from metaray.algorithms.algorithm import Algorithm
from metaray.algorithms.batching import batched_predictions, batched_task_gradients
from metaray.algorithms.configs import BatchNormMode, ModelConfig
from metaray.algorithms.episode import Episode
from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.maml import MAML
from metaray.algorithms.methods.maml_config import MAMLConfig
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.models.conv4 import Conv4
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.registry import build_algorithm
from metaray.algorithms.rules.network import parts_of

NETWORKS: dict[str, dict[str, Any]] = {
    "conv4_strided": {},
    "conv4": {},
    "conv4_map": {},
    "conv4, group norm": {"name": "conv4", "norm": "group"},
    "conv4_map, instance norm": {"name": "conv4_map", "norm": "instance"},
    "mlp": {"depth": 2},
    "mlp_norm": {"width": 32},
    "mlp_norm, group norm": {"name": "mlp_norm", "norm": "group", "width": 32},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "maml": {"train_batch_norm": "inductive"},
    "anil": {"train_batch_norm": "inductive", "second_order": "recursion"},
    "protomaml": {"second_order": "none"},
    "mamlpp": {"per_step_norm": False, "learned_rates": False, "running_statistics": False},
    "reptile": {"inner_optimizer": "sgd", "inner_lr": 0.3},
}
"""Settings that take another way through a method."""
MODES: tuple[BatchNormMode, ...] = ("transductive", "inductive")


def both(
    algorithm: Algorithm, tasks: Episode, ways: int, progress: float = 0.0, of_largest: float = 0.0
) -> None:
    """Gradients and predictions, by ``torch.func`` and by rules."""
    assert algorithm.has_rules
    state = state_of(algorithm)

    def computed(rules: bool) -> list[dict[str, torch.Tensor]]:
        algorithm.rules = rules
        gradients = batched_task_gradients(algorithm, state, tasks, ways, progress)
        predicted = [batched_predictions(algorithm, state, tasks, ways, mode) for mode in MODES]
        return [*gradients, dict(zip(MODES, predicted, strict=True))]

    general, written_out = computed(False), computed(True)
    for outputs in general[-1].values():  # else rounding decides, and accuracies may differ
        best = outputs[:, -1].topk(min(2, outputs.shape[-1]), -1).values
        assert (best[..., 0] - best[..., -1]).min() > 1e-9 or best.shape[-1] == 1, "a tie"
    for a, b in zip(written_out, general, strict=True):
        assert_same(a, b, of_largest=of_largest)


def tasks_of(kind: Kind) -> Episode:
    one = episode if kind == "classification" else wave
    return Episode.stack([one(seed) for seed in range(3)])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", SMALL)
def test_every_method_on_every_network(method: str, network: str) -> None:
    model = ModelConfig(**{"name": network, "width": 8} | NETWORKS[network])
    backbone = build_backbone(model, (1, 16, 16))
    algorithm = build_algorithm(SMALL[method], backbone, "classification", WAYS)
    # batch norm over nine vectors: where they hardly differ in a unit, rounding grows
    of_largest = 1e-10 if network == "mlp_norm" else 0.0
    both(algorithm, tasks_of("classification"), WAYS, of_largest=of_largest)


@pytest.mark.parametrize("method", VARIANTS)
def test_other_settings(method: str) -> None:
    config = SMALL[method].model_copy(update=VARIANTS[method])
    both(algorithm_for(config), tasks_of("classification"), WAYS)


@pytest.mark.parametrize("progress", [0.01, 0.2, 0.9])
def test_mamlpp_as_it_anneals(progress: float) -> None:
    config = SMALL["mamlpp"].model_copy(update={"first_order_share": 0.5, "inner_steps": 3})
    both(algorithm_for(config), tasks_of("classification"), WAYS, progress)


def test_tapes_that_are_not_kept_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits, in less memory."""
    algorithm = algorithm_for(SMALL["maml"].model_copy(update={"inner_steps": 4}))
    algorithm.rules = True
    state, tasks = state_of(algorithm), tasks_of("classification")
    kept = batched_task_gradients(algorithm, state, tasks, WAYS).gradient
    monkeypatch.setattr("metaray.algorithms.rules.network._STEPS_KEPT", 1)
    again = batched_task_gradients(algorithm, state, tasks, WAYS).gradient
    assert all(torch.equal(kept[name], again[name]) for name in kept)


@pytest.mark.parametrize("method", ["maml", "anil", "metasgd", "reptile", "mamlpp"])
def test_regression(method: str) -> None:
    both(algorithm_for(SMALL[method], model="mlp", kind="regression"), tasks_of("regression"), 1)


def test_a_module_of_the_user_has_no_rules() -> None:
    backbone = build_backbone(ModelConfig(name="resnet12", width=4), (1, 16, 16))
    algorithm = build_algorithm(SMALL["maml"], backbone, "classification", WAYS)
    assert not algorithm.has_rules


def test_a_class_that_changes_one_of_ours_does_not_take_its_rules() -> None:
    """It would be another function, and the result wrong without a message."""

    class Louder(MAML):
        def support_loss(self, params: Tensors, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return 2 * super().support_loss(params, x, y)

    class Negative(Conv4):
        def apply(self, params: Any, x: torch.Tensor, *rest: Any) -> Any:
            return super().apply(params, -x, *rest)

    shape, config = (1, 16, 16), MAMLConfig()
    assert MAML(Conv4(shape, 4, "pool"), "classification", WAYS, config).has_rules
    assert not Louder(Conv4(shape, 4, "pool"), "classification", WAYS, config).has_rules
    assert not MAML(Negative(shape, 4, "pool"), "classification", WAYS, config).has_rules


def test_tasks_are_computed_in_parts_by_their_size() -> None:
    assert parts_of(torch.empty(5, 25, 1)) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert parts_of(torch.empty(2, 500, 1)) == [slice(0, 1), slice(1, 2)]
    assert parts_of(torch.empty(5, 25, 1, device="meta")) == [slice(0, 5)]


@pytest.mark.parametrize("method", SMALL)
def test_nothing_is_made_on_another_device(method: str) -> None:
    """As for the general path: all on torch's device without data."""
    algorithm = algorithm_for(SMALL[method], model="conv4")
    algorithm.rules = True
    state = type(state_of(algorithm))(
        *({k: v.to("meta") for k, v in part.items()} for part in state_of(algorithm))
    )
    tasks = Episode(*(tensor.to("meta") for tensor in tasks_of("classification")))
    result = batched_task_gradients(algorithm, state, tasks, WAYS)
    assert {v.device.type for part in result for v in part.values()} == {"meta"}
    assert batched_predictions(algorithm, state, tasks, WAYS, "inductive").device.type == "meta"
