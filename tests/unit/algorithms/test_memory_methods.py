"""MANN and SNAIL: sequences, their order in time, and a memory whose steps are known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fixtures import SMALL, WAYS, algorithm_for, episode, state_of, wave
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.mann import MANN
from metaray.algorithms.methods.mann_config import MANNConfig
from metaray.algorithms.methods.sequence_based import SequenceBased
from metaray.algorithms.methods.snail import SNAIL
from metaray.algorithms.models.causal import (
    Branches,
    attention,
    attention_weights,
    dense,
    init_attention,
    init_dense,
)
from metaray.algorithms.models.external_memory import Memory, access, least_used
from metaray.algorithms.models.head import apply_head
from metaray.algorithms.models.lstm import init_lstm, lstm_cell


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mann() -> tuple[MANN, State]:
    algorithm = algorithm_for(SMALL["mann"])
    assert isinstance(algorithm, MANN)
    return algorithm, state_of(algorithm)


def snail() -> tuple[SNAIL, State]:
    algorithm = algorithm_for(SMALL["snail"])
    assert isinstance(algorithm, SNAIL)
    return algorithm, state_of(algorithm)


def test_lstm_cell_equals_torchs() -> None:
    params = init_lstm(torch.Generator().manual_seed(0), "cell", 3, 4)
    params = {name: value.double() for name, value in params.items()}
    assert params["cell.bias"].tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8
    theirs = torch.nn.LSTMCell(3, 4, dtype=torch.float64)
    theirs.load_state_dict(
        {
            "weight_ih": params["cell.input"],
            "weight_hh": params["cell.recurrent"],
            "bias_ih": params["cell.bias"],
            "bias_hh": torch.zeros(16),
        }
    )
    x, before = noise(5, 3), (noise(5, 4, seed=1), noise(5, 4, seed=2))
    torch.testing.assert_close(lstm_cell(params, "cell", x, before), theirs(x, before))


MEMORY = Memory(
    rows=torch.tensor([[1.0, 0.0], [5.0, 5.0], [0.0, 2.0]], dtype=torch.float64),
    usage=torch.tensor([0.5, 0.25, 0.75], dtype=torch.float64),
    read_weights=torch.tensor([[0.25, 0.0, 0.75]], dtype=torch.float64),
)


def step(gate: float, strength: float = 0.0) -> tuple[Memory, Tensor]:
    key, strengths = torch.tensor([[3.0, 4.0]]).double(), torch.tensor([strength]).double()
    return access(MEMORY, key, strengths, torch.tensor([gate]).double(), decay=0.5)


def test_a_closed_gate_writes_to_the_least_used_slot_after_erasing_it() -> None:
    after, _ = step(gate=0.0)
    assert after.rows.tolist() == [[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]]


def test_an_open_gate_writes_where_the_last_read_was() -> None:
    after, _ = step(gate=1.0)
    assert after.rows.tolist() == [[1.75, 1.0], [0.0, 0.0], [2.25, 5.0]]


def test_usage_decays_and_counts_reads_and_writes() -> None:
    after, _ = step(gate=0.0)  # strength 0 reads every slot alike
    torch.testing.assert_close(after.read_weights, torch.full((1, 3), 1 / 3).double())
    expected = torch.tensor([0.25 + 1 / 3, 0.125 + 1 / 3 + 1, 0.375 + 1 / 3], dtype=torch.float64)
    torch.testing.assert_close(after.usage, expected)


def test_reading_weighs_rows_by_the_cosine_to_the_key() -> None:
    after, read = step(gate=0.0, strength=2.0)
    cosines = torch.tensor([0.6, 1.0, 0.8], dtype=torch.float64)
    # rows of length 1, 5 and 2 and a key of length 5; 0.1 is the length of a faint row
    squared_lengths = torch.tensor([1.0, 25.0, 4.0], dtype=torch.float64)
    faded = (squared_lengths / (squared_lengths + 0.01) * 25 / 25.01).sqrt()
    weights = (2.0 * cosines * faded).softmax(0)
    torch.testing.assert_close(after.read_weights[0], weights, rtol=1e-12, atol=0)
    torch.testing.assert_close(read[0], weights @ after.rows, rtol=1e-12, atol=0)


def test_reads_find_what_was_written_among_faint_traces() -> None:
    """What earlier reads leak into a hundred blank rows is no answer to a key."""
    algorithm = algorithm_for(MANNConfig(controller_width=20, memory_width=6, read_heads=4))
    assert isinstance(algorithm, MANN)
    params, _ = state_of(algorithm)
    features, labels = noise(5, 4).abs(), torch.eye(3).double()[[0, 1, 2, 0, 1]]
    working = algorithm.blank(features)
    written = torch.zeros(len(working.memory.usage), dtype=torch.bool)
    for x, label in zip(features, labels, strict=True):
        written |= least_used(working.memory.usage, 4).sum(0) > 0
        working = algorithm.step(params, working, x, label)
        assert float(working.memory.read_weights[:, written].sum(-1).min()) > 0.9
    assert 0 < float(working.memory.rows[~written].norm(dim=-1).max()) < 0.05


def test_each_head_gets_a_slot_of_its_own() -> None:
    usage = torch.tensor([0.5, 0.1, 0.9, 0.2])
    assert least_used(usage, 2).tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]


def test_a_blank_memory_has_a_finite_gradient() -> None:
    algorithm, _ = mann()
    memory = algorithm.blank(noise(1)).memory

    def loss(keys: Tensor) -> Tensor:
        return access(memory, keys, noise(2).abs(), torch.full((2,), 0.5), 0.9)[1].square().sum()

    assert torch.isfinite(torch.func.grad(loss)(torch.zeros(2, 6, dtype=torch.float64))).all()


def test_mann_is_given_each_label_one_step_late() -> None:
    algorithm, (params, _) = mann()
    features, labels, query = noise(3, 4), torch.eye(3).double(), noise(1, 4, seed=1)

    def outputs(given: list[Tensor]) -> Tensor:
        working = algorithm.blank(features)
        for x, label in zip([*features, query[0]], given, strict=True):
            working = algorithm.step(params, working, x, label)
        return apply_head(params, torch.cat([working.hidden, working.read]))

    nothing = torch.zeros(3).double()
    late = outputs([nothing, *labels])
    in_time = outputs([*labels, nothing])
    torch.testing.assert_close(algorithm.read(params, features, labels, query)[0], late)
    assert not torch.allclose(late, in_time, rtol=1e-3)


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("method", ["mann", "snail"])
def test_each_example_is_read_with_its_own_label(
    method: str, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = episode() if kind == "classification" else wave()
    algorithm = algorithm_for(SMALL[method], model="mlp", kind=kind)
    assert isinstance(algorithm, SequenceBased)
    state, read = state_of(algorithm), []
    monkeypatch.setattr(algorithm, "read", lambda *given: read.append(given) or given[3])
    ways = WAYS if kind == "classification" else 1
    algorithm.predict_by_step(state, task, ways, "inductive")
    _, features, labels, _ = read[0]
    expected, _ = algorithm.backbone.apply(state.params, task.support_x, state.buffers)
    torch.testing.assert_close(features, expected)
    one_hot = F.one_hot(task.support_y, WAYS).double() if kind == "classification" else None
    torch.testing.assert_close(labels, task.support_y if one_hot is None else one_hot)


def test_mann_begins_every_episode_with_a_blank_memory() -> None:
    algorithm, state = mann()

    def outputs(seed: int) -> Tensor:
        return algorithm.predict_by_step(state, episode(seed), WAYS, "inductive")

    first = outputs(0)
    assert not torch.allclose(outputs(1), first)
    assert torch.equal(outputs(0), first)


def test_mann_uses_its_memory() -> None:
    """The state of the controller alone does not determine the output."""
    algorithm, (params, _) = mann()
    working = algorithm.blank(noise(1))
    for x in noise(3, 4):
        working = algorithm.step(params, working, x, noise(3, seed=1))
    forgotten = working._replace(memory=algorithm.blank(noise(1)).memory)
    x, label = noise(4, seed=2), noise(3, seed=3)
    with_memory, without = (
        algorithm.step(params, at, x, label).read for at in (working, forgotten)
    )
    assert not torch.allclose(with_memory, without, rtol=1e-3)


def double(params: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.double() for name, value in params.items()}


def blocks(channels: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return double(
        init_dense(generator, "dense", channels, 3)
        | init_attention(generator, "attend", channels, 4, 3)
    )


@pytest.mark.parametrize("kind", ["dense", "attention"])
@pytest.mark.parametrize("changed", [1, 4])
def test_future_inputs_never_change_past_outputs(kind: str, changed: int) -> None:
    params = blocks(5)

    def outputs(x: Branches) -> Branches:
        return dense(params, "dense", x, 2) if kind == "dense" else attention(params, "attend", x)

    x = Branches(noise(5, 5), noise(2, 5, seed=1))
    past = x.past.clone()
    past[changed] += 1
    before, after = outputs(x), outputs(Branches(past, x.ends))
    assert torch.equal(before.past[:changed], after.past[:changed])
    assert not torch.equal(before.past[changed], after.past[changed])
    other_end = outputs(Branches(x.past, x.ends + torch.tensor([[0.0], [1.0]])))
    assert torch.equal(before.past, other_end.past)
    assert torch.equal(before.ends[0], other_end.ends[0])
    assert not torch.equal(before.ends[1], other_end.ends[1])


def test_attention_sums_to_one_and_never_looks_ahead() -> None:
    weights = attention_weights(blocks(5), "attend", Branches(noise(4, 5), noise(2, 5, seed=1)))
    assert weights.past.shape == (4, 4)
    assert weights.ends.shape == (2, 5)
    for part in weights:
        torch.testing.assert_close(part.sum(-1), torch.ones(len(part), dtype=torch.float64))
    assert torch.equal(weights.past.triu(1), torch.zeros(4, 4, dtype=torch.float64))
    assert float(weights.past.tril().diagonal().min()) > 0


def test_a_fresh_query_attends_most_to_the_step_that_it_equals() -> None:
    past = noise(6, 40)
    past = 3 * past / past.norm(dim=-1, keepdim=True)
    params = double(init_attention(torch.Generator().manual_seed(0), "attend", 40, 20, 3))
    weights = attention_weights(params, "attend", Branches(past, past)).ends[:, :6]
    assert weights.argmax(-1).tolist() == list(range(6))


def test_snail_equals_torchs_layers_on_one_whole_sequence_for_each_query() -> None:
    """Dilated convolutions and attention of torch, with no part of the sequences shared."""
    algorithm, (params, _) = snail()
    features, labels, queries = noise(6, 4), noise(6, 3, seed=1), noise(2, 4, seed=2)

    def whole(query: Tensor) -> Tensor:
        x = torch.cat([features, query[None]])
        x = torch.cat([x, torch.cat([labels, torch.zeros(1, 3)])], dim=-1)
        for block in range(3):
            for dilation in (1, 2, 4) if block else ():
                prefix = f"convolution{block}.dilation{dilation}"
                kernel = torch.stack(
                    [params[f"{prefix}.before"], params[f"{prefix}.now.weight"]], dim=-1
                )
                padded = F.pad(x.T[None], (dilation, 0))
                out = F.conv1d(padded, kernel, params[f"{prefix}.now.bias"], dilation=dilation)
                x = torch.cat([x, F.glu(torch.cat([out[:, :8].tanh(), out[:, 8:]], 1), 1)[0].T], -1)
            query_, key, value = (
                F.linear(
                    x,
                    params[f"attention{block}.{role}.weight"],
                    params[f"attention{block}.{role}.bias"],
                )
                for role in ("query", "key", "value")
            )
            read = F.scaled_dot_product_attention(
                query_[None], key[None], value[None], is_causal=True
            )
            x = torch.cat([x, read[0]], dim=-1)
        return apply_head(params, x[-1])

    expected = torch.stack([whole(query) for query in queries])
    torch.testing.assert_close(algorithm.read(params, features, labels, queries), expected)


@pytest.mark.parametrize("length", [2, 6, 9])
def test_the_temporal_convolutions_span_the_sequence(length: int) -> None:
    config = SMALL["snail"].model_copy(update={"sequence_length": length})
    algorithm = algorithm_for(config)
    assert isinstance(algorithm, SNAIL)

    def end(past: Tensor) -> Tensor:
        x = Branches(past, noise(1, 1))
        for dilation in algorithm.dilations:
            channels = x.past.shape[1]
            layer = double(init_dense(torch.Generator().manual_seed(1), "layer", channels, 2))
            x = dense(layer, "layer", x, dilation)
        return x.ends.sum()

    reached = torch.func.grad(end)(noise(3 * length, 1, seed=2)).squeeze(-1) != 0
    assert reached[-(length - 1) :].all()
    assert not reached[0]
