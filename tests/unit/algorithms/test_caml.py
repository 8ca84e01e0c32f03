"""CAML against torch's own transformer, and what its labels promise."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from fixtures import SMALL, WAYS, algorithm_for, episode, state_of
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.batching import batched_predictions
from metaray.algorithms.episode import Episode
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods import caml as module
from metaray.algorithms.methods.caml import CAML
from metaray.algorithms.methods.caml_config import CAMLConfig
from metaray.algorithms.models.identity import Identity
from metaray.algorithms.models.label_vectors import deal, simplex
from metaray.algorithms.models.noise import permutation
from metaray.algorithms.parameters import Tensors
from metaray.platform.experiment.meta import META

LIKE = torch.zeros((), dtype=torch.float64)


def caml() -> tuple[CAML, State]:
    """Parameters are moved away from the start, at which many are zero."""
    algorithm = algorithm_for(SMALL["caml"])
    assert isinstance(algorithm, CAML)
    params, buffers = state_of(algorithm)
    generator = torch.Generator().manual_seed(5)
    moved = {
        name: p + 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        for name, p in params.items()
    }
    return algorithm, State(moved, buffers)


def key(number: int) -> Tensor:
    return torch.tensor(number, dtype=torch.int64)


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("number", "width"), [(2, 2), (5, 5), (5, 16), (50, 64)])
def test_label_vectors_are_as_long_and_as_far_apart_as_each_other(number: int, width: int) -> None:
    vectors = simplex(number, width, LIKE)
    expected = torch.full((number, number), -1 / (number - 1), dtype=torch.float64)
    expected.fill_diagonal_(1.0)
    torch.testing.assert_close(vectors @ vectors.T, expected)
    torch.testing.assert_close(vectors.sum(0), torch.zeros(width, dtype=torch.float64))


def test_the_key_of_a_task_decides_which_vector_a_class_gets() -> None:
    orders = [permutation(key(n), 0, 5) for n in range(2000)]
    assert all(sorted(order.tolist()) == list(range(5)) for order in orders)
    counts = sum(F.one_hot(order, 5) for order in orders)
    assert (counts - 400).abs().max() < 5 * (2000 * 0.2 * 0.8) ** 0.5
    assert not torch.equal(permutation(key(0), 0, 50), permutation(key(0), 1, 50))
    vectors = simplex(5, 8, LIKE)
    dealt = {tuple((deal(vectors, 3, key(n)) @ vectors.T).argmax(-1).tolist()) for n in range(20)}
    assert len(dealt) > 10
    assert all(len(set(three)) == 3 for three in dealt)


def test_it_equals_torchs_transformer_on_one_sequence_for_each_query() -> None:
    algorithm, (params, _) = caml()
    c = algorithm.config
    features, queries = noise(6, algorithm.backbone.feature_dim), noise(4, 4, seed=1)
    y = torch.tensor([0, 1, 2, 2, 1, 2])
    labels = simplex(c.max_ways, c.label_width, LIKE)[:WAYS]

    def image(x: Tensor) -> Tensor:
        long = x / x.norm() * len(x) ** 0.5
        return params["image.weight"] @ long + params["image.bias"]

    layers = [torch_layer(params, f"reader.layer{i}", c) for i in range(c.layers)]
    mask = torch.zeros(7, 7, dtype=torch.bool)
    mask[0, 0] = True
    expected = []
    for query in queries:
        sequence = [torch.cat([image(query), params["unknown"]])]
        for x, label in zip(features, y, strict=True):
            sequence.append(torch.cat([image(x), c.label_width**0.5 * labels[label]]))
        read = torch.stack(sequence)[None]
        for layer in layers:
            read = layer(read, src_mask=mask)
        norm = (params["reader.norm.weight"], params["reader.norm.bias"])
        out = params["output.weight"] @ F.layer_norm(read[0, 0], (c.width,), *norm)
        expected.append(torch.stack([label @ out for label in labels]))
    one_hot = F.one_hot(y, WAYS).double()
    found = algorithm.read(params, features, one_hot, queries, labels)
    torch.testing.assert_close(found, torch.stack(expected))


def torch_layer(params: Tensors, at: str, c: CAMLConfig) -> torch.nn.Module:
    """A layer of torch with our weights."""
    layer = torch.nn.TransformerEncoderLayer(
        c.width, c.heads, 4 * c.width, 0.0, "gelu", batch_first=True, norm_first=True,
        dtype=torch.float64,
    )  # fmt: skip
    ours = {"linear1": "up", "linear2": "down", "norm1": "norm1", "norm2": "norm2"}
    ours |= {"self_attn.out_proj": "mix"}
    weights = {}
    for part in ("weight", "bias"):
        weights |= {f"{name}.{part}": params[f"{at}.{mine}.{part}"] for name, mine in ours.items()}
        roles = [params[f"{at}.{role}.{part}"] for role in ("query", "key", "value")]
        weights[f"self_attn.in_proj_{part}"] = torch.cat(roles)
    layer.load_state_dict(weights)
    return layer


def test_renamed_classes_with_their_vectors_give_renamed_logits() -> None:
    algorithm, (params, _) = caml()
    features, queries = noise(6, 4), noise(5, 4, seed=1)
    one_hot = F.one_hot(torch.tensor([0, 1, 2, 2, 1, 0]), WAYS).double()
    labels = simplex(4, 8, LIKE)[:WAYS]
    order = torch.tensor([2, 0, 1])
    outputs = algorithm.read(params, features, one_hot, queries, labels)
    renamed = algorithm.read(params, features, one_hot[:, order], queries, labels[order])
    torch.testing.assert_close(renamed, outputs[:, order])


def test_the_order_of_the_support_set_does_not_matter() -> None:
    algorithm, state = caml()
    task = episode()
    order = torch.randperm(len(task.support_y), generator=torch.Generator().manual_seed(0))
    other = task._replace(support_x=task.support_x[order], support_y=task.support_y[order])
    ours, theirs = (algorithm.predict_by_step(state, t, WAYS, "inductive") for t in (task, other))
    torch.testing.assert_close(theirs, ours)


def test_predictions_follow_the_key_of_each_task() -> None:
    algorithm, state = caml()
    tasks = [episode()._replace(key=key(n)) for n in range(4)]
    batched = batched_predictions(algorithm, state, Episode.stack(tasks), WAYS, "inductive")
    for found, task in zip(batched, tasks, strict=True):
        expected = algorithm.predict_by_step(state, task, WAYS, "inductive")
        torch.testing.assert_close(found, expected)
    assert any(not torch.allclose(a, b, rtol=1e-3) for a, b in pairwise(batched))


def test_queries_that_are_read_in_parts_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm, state = caml()
    whole = algorithm.predict_by_step(state, episode(), WAYS, "inductive")
    monkeypatch.setattr(module, "_AT_ONCE", 800)
    parts = algorithm.predict_by_step(state, episode(), WAYS, "inductive")
    torch.testing.assert_close(parts, whole)


def test_a_fresh_network_is_a_soft_nearest_neighbour() -> None:
    config = CAMLConfig(layers=2, heads=2, width=128, label_width=64)
    algorithm = CAML(Identity((32,)), "classification", 5, config)
    state = state_of(algorithm)
    one_hot = torch.eye(5, dtype=torch.float64)
    means = noise(5, 32)
    queries = (means + 0.3 * noise(5, 32, seed=1)).repeat(2, 1)
    labels = algorithm.label_vectors(5, key(7), means)
    logits = algorithm.read(state.params, means, one_hot, queries, labels)
    assert logits.argmax(-1).tolist() == [0, 1, 2, 3, 4] * 2


def test_any_number_of_ways_up_to_the_most() -> None:
    algorithm, state = caml()
    x = torch.rand(5, 1, 16, 16, dtype=torch.float64)
    for ways in (2, 4):
        (adapted,) = algorithm.adapt(state, x[:ways], torch.arange(ways), ways, "inductive")
        assert algorithm.predict(adapted, x).shape == (5, ways)
    (adapted,) = algorithm.adapt(state, x, torch.arange(5), 5, "inductive")
    with pytest.raises(InputError, match=r"at most 4 classes \(method.max_ways\), got a task of 5"):
        algorithm.predict(adapted, x)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["task.ways=60"], "takes at most method.max_ways = 50 classes, got task.train_ways = 60"),
        (["task.sampler=varying", "task.max_ways=70"], "got task.max_ways = 70: raise method"),
        (["method.heads=3"], "method.width = 256 is no multiple of method.heads = 3"),
        (["method.label_width=256"], "leaves nothing of method.width = 256 for the image"),
        (["method.max_ways=100"], "method.max_ways = 100 label vectors need as many numbers"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        META.load(None, ["method.name=caml", "data.name=omniglot", *settings])
