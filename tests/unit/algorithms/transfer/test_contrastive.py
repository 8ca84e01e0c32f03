"""SimCLR and MoCo: losses, the order of a step, what is coupled over shards, what is learned."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_job import (
    SHAPE,
    Batch,
    augmented,
    batch_for,
    conv4,
    gradient_of,
    networks,
    noise,
    numeric_gradient,
    sgd_step,
    state_of,
    train,
)
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.mlp import MLP
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.backbone_objective import BackboneObjective
from metaray.algorithms.transfer.contrastive import info_nce, nt_xent
from metaray.algorithms.transfer.moco import MoCo
from metaray.algorithms.transfer.moco_config import MoCoConfig
from metaray.algorithms.transfer.objective import Networks, Shard
from metaray.algorithms.transfer.probe import knn_probe
from metaray.algorithms.transfer.simclr import SimCLR
from metaray.algorithms.transfer.simclr_config import SimCLRConfig


def simclr(norm: str = "group") -> SimCLR:
    return SimCLR(SimCLRConfig(projection_dim=5), networks(norm))


def moco(norm: str = "group", **settings: object) -> MoCo:
    small = {"projection_dim": 5, "queue_size": 10, "momentum": 0.9}
    return MoCo(MoCoConfig.model_validate(small | settings), networks(norm))


# NT-Xent


def test_nt_xent_is_a_softmax_over_the_2n_minus_1_other_views() -> None:
    first, second, temperature = noise(4, 6), noise(4, 6, seed=1), 0.3
    views = [*first, *second]
    total = 0.0
    for i, view in enumerate(views):
        similarity = [float(F.cosine_similarity(view, other, dim=0)) for other in views]
        others = [exp(s / temperature) for j, s in enumerate(similarity) if j != i]
        assert len(others) == 2 * 4 - 1
        total -= log(exp(similarity[(i + 4) % 8] / temperature) / sum(others))
    loss, _ = nt_xent(first, second, temperature)
    assert loss.item() == pytest.approx(total / 8, rel=1e-6)


def test_the_length_of_a_projection_does_not_matter() -> None:
    first, second = noise(4, 6), noise(4, 6, seed=1)
    longer = first * torch.tensor([1.0, 2.0, 30.0, 0.1])[:, None]
    torch.testing.assert_close(nt_xent(longer, second, 0.5), nt_xent(first, second, 0.5))


def test_the_gradient_of_nt_xent_is_right() -> None:
    first, second = noise(3, 4), noise(3, 4, seed=1)
    x = first.clone().requires_grad_()
    (slope,) = torch.autograd.grad(nt_xent(x, second, 0.5)[0], x)
    expected = numeric_gradient(lambda v: nt_xent(v, second, 0.5)[0], first)
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-8)


def test_views_of_random_directions_are_matched_by_their_pairs() -> None:
    x = noise(8, 16)
    loss, matched = nt_xent(x, x + 1e-3 * noise(8, 16, seed=1), 0.1)
    assert matched == 1.0
    assert loss < 0.1
    assert nt_xent(x, noise(8, 16, seed=1), 0.1)[1] < 0.6


@pytest.mark.parametrize("rows", [torch.ones(4, 6), torch.zeros(4, 6)])
def test_identical_and_empty_projections_give_a_finite_gradient(rows: Tensor) -> None:
    x = rows.double().requires_grad_()
    loss, _ = nt_xent(x, x, 0.5)
    (slope,) = torch.autograd.grad(loss, x)
    assert torch.isfinite(loss)
    assert torch.isfinite(slope).all()
    loss, _ = info_nce(x, x.detach(), torch.ones(3, 6).double(), 0.07)
    assert torch.isfinite(torch.autograd.grad(loss, x)[0]).all()


def test_identical_images_cannot_be_told_apart() -> None:
    loss, _ = nt_xent(torch.ones(4, 6), torch.ones(4, 6), 0.5)
    assert loss.item() == pytest.approx(log(2 * 4 - 1))


def test_a_single_image_has_nothing_to_be_told_from() -> None:
    with pytest.raises(InputError, match="two images or more in a batch, got 1"):
        nt_xent(noise(1, 4), noise(1, 4), 0.5)


# InfoNCE


def test_info_nce_tells_a_key_from_the_queue() -> None:
    queries, keys = noise(3, 5), noise(3, 5, seed=1)
    queue = F.normalize(noise(7, 5, seed=2), dim=-1)
    total = 0.0
    for query, key in zip(queries, keys, strict=True):
        own = exp(float(F.cosine_similarity(query, key, dim=0)) / 0.2)
        others = [exp(float(F.cosine_similarity(query, k, dim=0)) / 0.2) for k in queue]
        total -= log(own / (own + sum(others)))
    assert info_nce(queries, keys, queue, 0.2)[0].item() == pytest.approx(total / 3, rel=1e-6)


def test_the_gradient_of_info_nce_is_right() -> None:
    queries, keys = noise(3, 4), noise(3, 4, seed=1)
    queue = F.normalize(noise(6, 4, seed=2), dim=-1)
    x = queries.clone().requires_grad_()
    (slope,) = torch.autograd.grad(info_nce(x, keys, queue, 0.2)[0], x)
    expected = numeric_gradient(lambda v: info_nce(v, keys, queue, 0.2)[0], queries)
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-8)


# over shards


@pytest.mark.parametrize("make", [simclr, moco])
def test_shards_add_up_to_the_whole_batch(make: object) -> None:
    objective = make()  # type: ignore[operator]
    assert objective.couples_batch
    state, batch = state_of(objective), batch_for(objective, size=7)
    whole = gradient_of(objective, state, batch, shards=1)
    parts = gradient_of(objective, state, batch, shards=3)
    torch.testing.assert_close(parts.loss, whole.loss)
    for name, slope in whole.gradient.items():
        torch.testing.assert_close(parts.gradient[name], slope, msg=name)


def test_with_batch_norm_each_shard_is_normalised_by_itself() -> None:
    objective = simclr("batch")
    state, batch = state_of(objective), batch_for(objective)
    ghost = gradient_of(objective, state, batch, shards=2)
    params = {n: p.clone().requires_grad_() for n, p in state.params.items()}
    first, second, means = [], [], []
    for rows in (slice(0, 3), slice(3, 6)):
        views = torch.cat([x[rows] for x in batch.images])
        features, batch_stats = objective.backbone.apply(params, views, None)
        hidden = F.linear(
            features, params["projection.hidden0.weight"], params["projection.hidden0.bias"]
        ).relu()
        out = F.linear(hidden, params["projection.weight"], params["projection.bias"])
        first.append(out[:3])
        second.append(out[3:])
        means.append(batch_stats["block0.norm.mean"].detach())
    loss, _ = nt_xent(torch.cat(first), torch.cat(second), 0.5)
    slopes = torch.autograd.grad(loss, list(params.values()))
    torch.testing.assert_close(ghost.loss, loss.detach())
    for name, slope in zip(params, slopes, strict=True):
        torch.testing.assert_close(ghost.gradient[name], slope, msg=name)
    torch.testing.assert_close(ghost.batch_stats["block0.norm.mean"], torch.stack(means).mean(0))


@pytest.mark.parametrize("make", [simclr, moco])
def test_neither_reads_labels(make: object) -> None:
    views = make().views  # type: ignore[operator]
    assert [view.labelled for view in views] == [False, False]
    assert all(view.transform is not None for view in views)


@pytest.mark.parametrize("make", [simclr, moco])
def test_the_encoder_is_what_the_backbone_alone_has(make: object) -> None:
    objective = make("batch")  # type: ignore[operator]
    params, stats = conv4("batch").init(torch.Generator().manual_seed(0))
    encoder = objective.encoder(state_of(objective))
    assert encoder.params.keys() == params.keys()
    assert encoder.buffers.keys() == stats.keys()
    assert objective.predict(state_of(objective), noise(2, *SHAPE)) is None


@pytest.mark.parametrize("make", [simclr, moco])
def test_a_batch_of_one_is_refused(make: object) -> None:
    objective = make("batch")  # type: ignore[operator]
    with pytest.raises(InputError, match="two images or more"):
        gradient_of(objective, state_of(objective), batch_for(objective, size=1))


# MoCo's step


def key_encoder(state: State) -> Tensors:
    return {
        name.removeprefix("key."): t for name, t in state.buffers.items() if name.startswith("key.")
    }


def project(objective: MoCo, params: Tensors, x: Tensor) -> Tensor:
    """Projections of length 1, written out."""
    h, _ = objective.backbone.apply(params, x, None)
    if objective.config.version == "v2":
        h = F.linear(
            h, params["projection.hidden0.weight"], params["projection.hidden0.bias"]
        ).relu()
    return F.normalize(F.linear(h, params["projection.weight"], params["projection.bias"]), dim=-1)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_a_step_of_moco_in_the_order_of_the_paper(version: str, norm: str) -> None:
    objective = moco(norm, version=version)
    temperature, lr = objective.config.temperature, 0.1
    state = state_of(objective)
    encoder = {n: p.clone() for n, p in state.params.items()}
    slow, queue = {n: p.clone() for n, p in encoder.items()}, state.buffers["queue"].clone()
    for number in range(3):
        batch = batch_for(objective, size=4, seed=10 * number)
        state, step = sgd_step(objective, state, batch, lr)
        # the key encoder moves before keys are made
        slow = {n: 0.9 * slow[n] + 0.1 * encoder[n] for n in slow}
        params = {n: p.clone().requires_grad_() for n, p in encoder.items()}
        queries = project(objective, params, batch.images[0])
        keys = project(objective, slow, batch.images[1])
        logits = torch.cat([(queries * keys).sum(-1, keepdim=True), queries @ queue.T], -1)
        loss = F.cross_entropy(logits / temperature, torch.zeros(4, dtype=torch.int64))
        slopes = torch.autograd.grad(loss, list(params.values()))
        encoder = {n: p - lr * g for (n, p), g in zip(encoder.items(), slopes, strict=True)}
        # the queue takes the keys in after the logits
        queue = torch.cat([keys, queue])[:10]
        torch.testing.assert_close(step.loss, loss.detach(), rtol=1e-6, atol=1e-7)
        for name in encoder:
            torch.testing.assert_close(state.params[name], encoder[name], rtol=1e-6, atol=1e-7)
            torch.testing.assert_close(key_encoder(state)[name], slow[name], rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(state.buffers["queue"], queue, rtol=1e-6, atol=1e-7)


def test_the_versions_differ_in_head_and_temperature() -> None:
    first, second = moco(version="v1"), moco()
    assert (first.config.temperature, second.config.temperature) == (0.07, 0.2)
    assert "projection.hidden0.weight" not in state_of(first).params
    assert "projection.hidden0.weight" in state_of(second).params
    assert MoCoConfig(version="v1", temperature=0.1).temperature == 0.1


def test_the_key_encoder_starts_as_the_encoder() -> None:
    state = state_of(moco("batch"))
    slow = key_encoder(state)
    assert slow.keys() == state.params.keys()
    assert all(torch.equal(slow[n], p) for n, p in state.params.items())


def test_keys_have_no_gradient() -> None:
    objective = moco()
    state, batch = state_of(objective), batch_for(objective)
    leaves = {
        n: b.clone().requires_grad_() if n.startswith("key.") else b
        for n, b in state.buffers.items()
    }
    params = {n: p.clone().requires_grad_() for n, p in state.params.items()}
    shard = Shard(batch.images, batch.labels, torch.arange(6), torch.tensor(0))
    outputs = objective.forward(State(params, leaves), shard, 0.0).outputs
    assert outputs["queries"].requires_grad
    assert not outputs["keys"].requires_grad
    assert not objective.begin_step(State(params, leaves)).buffers["key.block0.conv"].requires_grad


def test_the_queue_holds_the_newest_keys_at_length_1_whatever_the_batch_size() -> None:
    for size in (3, 4, 10, 12):  # 10 rows: neither a multiple, nor even smaller
        objective = moco()
        state, made = state_of(objective), []
        assert torch.equal(state.buffers["queue"], state_of(objective).buffers["queue"])
        for number in range(4):
            batch = batch_for(objective, size=size, seed=number)
            state, step = sgd_step(objective, state, batch, lr=0.1)
            made.insert(0, F.normalize(step.outputs["keys"], dim=-1))
            queue = state.buffers["queue"]
            torch.testing.assert_close(
                queue.norm(dim=-1), torch.ones(10, dtype=torch.float64), rtol=1e-6, atol=1e-6
            )
            newest = torch.cat(made)[:10]
            torch.testing.assert_close(queue[: len(newest)], newest, rtol=1e-6, atol=1e-7)


def test_the_queue_follows_the_seed() -> None:
    queues = [state_of(moco(), seed=seed).buffers["queue"] for seed in (0, 0, 1)]
    assert torch.equal(queues[0], queues[1])
    assert not torch.equal(queues[0], queues[2])


@pytest.mark.parametrize("shards", [1, 2])
def test_shuffled_keys_find_back_to_their_queries(shards: int) -> None:
    objective = moco()
    batch, order = batch_for(objective), torch.tensor([4, 0, 5, 2, 1, 3])
    after, step = sgd_step(objective, state_of(objective), batch, 0.1, shards, order=order)
    plain_after, plain = sgd_step(objective, state_of(objective), batch, 0.1)
    torch.testing.assert_close(step.loss, plain.loss)
    torch.testing.assert_close(after.buffers["queue"], plain_after.buffers["queue"])
    torch.testing.assert_close(step.outputs["keys"], plain.outputs["keys"][order])


def test_shuffling_changes_among_which_images_a_key_is_normalised() -> None:
    objective = moco("batch")
    batch, order = batch_for(objective), torch.tensor([4, 0, 5, 2, 1, 3])
    state = state_of(objective)
    keys = F.normalize(gradient_of(objective, state, batch, 2, order=order).outputs["keys"], dim=-1)
    together = project(objective, key_encoder(state), batch.images[1][order[:3]])
    torch.testing.assert_close(keys[:3], together, rtol=1e-6, atol=1e-7)


# what they are for


def hidden_class(seed: int, size: int = 256) -> tuple[Tensor, Tensor]:
    """Images of 4 x 4: the left half tells the class, the right half is louder and says nothing.

    A view redraws the right half.
    """
    patterns = noise(4, 4, 2, seed=100)
    y = torch.arange(size) % 4
    quiet = patterns[y] + 0.3 * noise(size, 4, 2, seed=seed)
    return torch.cat([quiet, 3 * noise(size, 4, 2, seed=seed + 1)], -1)[:, None], y


def redraw(image: Tensor, generator: torch.Generator) -> Tensor:
    right = 3 * torch.randn((1, 4, 2), generator=generator, dtype=image.dtype)
    return torch.cat([image[..., :2], right], -1)


@pytest.mark.parametrize("name", ["simclr", "moco"])
def test_features_tell_classes_that_no_label_named(name: str) -> None:
    shape = (1, 4, 4)
    nets = Networks(MLP(shape, [32, 32]), shape, 4)
    objective: BackboneObjective
    if name == "simclr":
        objective = SimCLR(SimCLRConfig(projection_dim=16), nets, redraw)
    else:
        config = MoCoConfig(projection_dim=16, queue_size=256, momentum=0.9)
        objective = MoCo(config, nets, redraw)
    (train_x, train_y), (test_x, test_y) = hidden_class(0), hidden_class(50)

    def accuracy(state: State) -> float:
        one, other = (objective.features(state, x).numpy() for x in (train_x, test_x))
        return knn_probe(one, train_y.numpy(), other, test_y.numpy(), neighbours=10).value

    def batches(step: int) -> Batch:
        rows = torch.from_numpy(np.random.default_rng(step).permutation(256)[:32])
        return augmented(train_x[rows], objective, step)

    trained = train(objective, batches, steps=150, lr=0.5)
    at_random = accuracy(state_of(objective))
    assert accuracy(trained) > at_random + 0.2
