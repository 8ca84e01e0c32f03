"""What every method must be, run over the registry unasked."""

from __future__ import annotations

from itertools import repeat

import pytest
import torch
from fixtures import (
    LABEL_READERS,
    LEARNING,
    SMALL,
    WAYS,
    algorithm_for,
    assert_same,
    episode,
    labelling,
    meta_train,
    state_of,
    wave,
)
from torch import Tensor

from metaray.algorithms.algorithm import Algorithm, State, TaskGradient
from metaray.algorithms.batching import batched_predictions, batched_task_gradients
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.conformance import check_gradient, check_predictions
from metaray.algorithms.episode import Episode
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.gradient_based import GradientBased
from metaray.algorithms.methods.method_section import BatchTrained, MethodSection
from metaray.algorithms.models.head import HEAD
from metaray.algorithms.registry import METHODS

# their task gradient is no derivative of the query loss after so few steps
INEXACT = {"fomaml", "imaml", "reptile"}
LABELS_ARE_INPUTS = {name for name, config in SMALL.items() if config.labels_are_inputs}
REGRESS = {name for name, config in SMALL.items() if config.learns_regression}
# which learn with other settings than in SMALL; for lda, wrong answers stay costly meanwhile
LOSS_APART = sorted({"lda", *(name for name, how in LEARNING.items() if how.changes)})
ADAPT_BY_STEPS = [name for name in METHODS if len(algorithm_for(SMALL[name]).reported_steps) > 1]
ALL = pytest.mark.parametrize("name", METHODS)
MODES: tuple[BatchNormMode, ...] = ("transductive", "inductive")


def build(name: str) -> tuple[Algorithm, State]:
    algorithm = algorithm_for(SMALL[name])
    return algorithm, state_of(algorithm)


def in_form(config: MethodSection, second_order: str) -> MethodSection:
    if "second_order" not in type(config).model_fields:
        return config
    return config.model_copy(update={"second_order": second_order})


def parts(result: TaskGradient) -> dict[str, Tensor]:
    return {f"{i}.{name}": value for i, part in enumerate(result) for name, value in part.items()}


def test_each_method_is_tested() -> None:
    assert set(METHODS) == set(SMALL)


@ALL
def test_the_checks_that_plugins_can_run_pass(name: str) -> None:
    algorithm, state = build(name)
    check_gradient(algorithm, state, episode(), WAYS)
    check_predictions(algorithm, state, episode(), WAYS)


@ALL
def test_same_input_gives_the_same_bits(name: str) -> None:
    (one, state), (other, _) = build(name), build(name)
    a, b = (parts(x.task_gradient(state, episode(), WAYS)) for x in (one, other))
    assert all(torch.equal(a[k], b[k]) for k in a)


@ALL
@pytest.mark.parametrize("second_order", ["unrolled", "recursion"])
def test_batched_over_tasks_equals_one_by_one(name: str, second_order: str) -> None:
    algorithm = algorithm_for(in_form(SMALL[name], second_order))
    state = state_of(algorithm)
    tasks = [episode(seed) for seed in range(3)]
    batched = parts(batched_task_gradients(algorithm, state, Episode.stack(tasks), WAYS))
    for i, task in enumerate(tasks):
        one = parts(algorithm.task_gradient(state, task, WAYS))
        assert_same({k: v[i] for k, v in batched.items()}, one)


@ALL
@pytest.mark.parametrize("mode", MODES)
def test_batched_predictions_equal_one_by_one(name: str, mode: BatchNormMode) -> None:
    algorithm, state = build(name)
    tasks = [episode(seed) for seed in range(3)]
    batched = batched_predictions(algorithm, state, Episode.stack(tasks), WAYS, mode)
    for i, task in enumerate(tasks):
        torch.testing.assert_close(
            batched[i], algorithm.predict_by_step(state, task, WAYS, mode), rtol=1e-10, atol=1e-12
        )


@ALL
@pytest.mark.parametrize("mode", MODES)
def test_predictions_by_step_are_those_of_what_each_step_adapted(
    name: str, mode: BatchNormMode
) -> None:
    algorithm, state = build(name)
    task = episode()
    together = algorithm.predict_by_step(state, task, WAYS, mode)
    adapted = algorithm.adapt(state, task.support_x, task.support_y, WAYS, mode)
    for at_once, one in zip(together, adapted, strict=True):
        assert torch.equal(at_once, algorithm.predict(one, task.query_x))


@pytest.mark.parametrize("name", sorted(set(METHODS) - INEXACT))
def test_gradient_equals_finite_differences_along_random_directions(name: str) -> None:
    algorithm, state = build(name)
    task = episode()
    gradient = algorithm.task_gradient(state, task, WAYS).gradient

    def loss(at: dict[str, Tensor]) -> float:
        moved = State(at, state.buffers)
        return float(algorithm.task_gradient(moved, task, WAYS).metrics["loss"])

    h = 1e-6
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        direction = {
            k: torch.randn(v.shape, generator=generator, dtype=v.dtype)
            for k, v in state.params.items()
        }
        up, down = (
            loss({k: v + sign * h * direction[k] for k, v in state.params.items()})
            for sign in (1, -1)
        )
        slope = sum(float((gradient[k] * direction[k]).sum()) for k in gradient)
        assert slope == pytest.approx((up - down) / (2 * h), rel=1e-4)


@ALL
def test_inductive_predictions_do_not_depend_on_other_queries(name: str) -> None:
    algorithm, state = build(name)
    task = episode(queries=4)
    together = algorithm.predict_by_step(state, task, WAYS, "inductive")
    for i in range(len(task.query_x)):
        alone = task._replace(query_x=task.query_x[i : i + 1])
        predicted = algorithm.predict_by_step(state, alone, WAYS, "inductive")
        torch.testing.assert_close(predicted[:, 0], together[:, i], rtol=1e-9, atol=1e-10)


@ALL
def test_inductive_predictions_do_not_notice_junk(name: str) -> None:
    algorithm, state = build(name)
    task = episode()
    junk = task._replace(query_x=torch.cat([task.query_x, 5 * torch.ones_like(task.query_x)]))
    clean, disturbed = (
        algorithm.predict_by_step(state, t, WAYS, "inductive") for t in (task, junk)
    )
    torch.testing.assert_close(disturbed[:, : len(task.query_x)], clean, rtol=1e-9, atol=1e-10)


@ALL
@pytest.mark.parametrize("mode", MODES)
def test_prediction_leaves_parameters_and_buffers_bit_identical(
    name: str, mode: BatchNormMode
) -> None:
    algorithm, state = build(name)
    before = [t.clone() for part in state for t in part.values()]
    algorithm.predict_by_step(state, episode(), WAYS, mode)
    after = [t for part in state for t in part.values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@ALL
def test_transductive_predictions_do(name: str) -> None:
    algorithm, state = build(name)
    task = episode(queries=4)
    together = algorithm.predict_by_step(state, task, WAYS, "transductive")
    junk = task._replace(query_x=torch.cat([task.query_x, 5 * torch.ones_like(task.query_x)]))
    disturbed = algorithm.predict_by_step(state, junk, WAYS, "transductive")
    assert not torch.allclose(disturbed[:, : len(task.query_x)], together, rtol=1e-2)


@pytest.mark.parametrize("name", sorted(set(METHODS) - LABELS_ARE_INPUTS))
def test_renaming_the_classes_renames_what_was_learned(name: str) -> None:
    """With a head that treats classes alike, permuted labels give permuted predictions."""
    algorithm, state = build(name)
    alike = {
        k: v.mean(0).expand_as(v) if "head" in k and v.ndim else v for k, v in state.params.items()
    }
    permutation = torch.tensor([2, 0, 1])
    task = episode()
    renamed = task._replace(support_y=permutation[task.support_y])
    outputs, permuted = (
        algorithm.predict_by_step(State(alike, state.buffers), t, WAYS, "inductive")[-1]
        for t in (task, renamed)
    )
    torch.testing.assert_close(permuted[:, permutation], outputs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", sorted(LABEL_READERS))
def test_renaming_the_classes_in_the_network_as_well_renames_predictions(name: str) -> None:
    """Weights that read a label or write an output know a class by its number, and by no more."""
    algorithm, (params, buffers) = build(name)
    permutation = torch.tensor([2, 0, 1])
    first = algorithm.backbone.feature_dim  # a step's input is [features, label, ...]
    renamed = {k: v.clone() for k, v in params.items()}
    for key, value in params.items():
        if key.startswith(LABEL_READERS[name]) and value.ndim == 2:
            renamed[key][:, first + permutation] = value[:, first : first + WAYS]
    for key in HEAD:
        renamed[key] = torch.empty_like(renamed[key]).index_copy(0, permutation, renamed[key])
    task = episode()
    relabelled = task._replace(support_y=permutation[task.support_y])
    outputs, permuted, unmoved = (
        algorithm.predict_by_step(State(at, buffers), t, WAYS, "inductive")[-1]
        for at, t in ((params, task), (renamed, relabelled), (params, relabelled))
    )
    torch.testing.assert_close(permuted[:, permutation], outputs, rtol=1e-8, atol=1e-8)
    assert not torch.allclose(unmoved, outputs, rtol=1e-6)  # support labels matter


@ALL
@pytest.mark.parametrize("mode", MODES)
def test_identical_images_and_a_single_query_stay_finite(name: str, mode: BatchNormMode) -> None:
    algorithm, state = build(name)
    x = torch.full((WAYS, 1, 16, 16), 0.5, dtype=torch.float64)
    task = Episode(x, torch.arange(WAYS), x[:1], torch.zeros(1, dtype=torch.int64))
    assert torch.isfinite(algorithm.predict_by_step(state, task, WAYS, mode)).all()
    assert all(
        torch.isfinite(t).all() for t in parts(algorithm.task_gradient(state, task, WAYS)).values()
    )


def quick(config: MethodSection) -> Algorithm:
    """For training: by rules where these are faster, which ``rules/`` compares with ``torch.func``.

    They are for methods with an inner loop; others have but one pass through the network.
    """
    algorithm = algorithm_for(config)
    algorithm.rules = isinstance(algorithm, GradientBased)
    return algorithm


def mean_loss(algorithm: Algorithm, state: State, tasks: Episode) -> float:
    return float(batched_task_gradients(algorithm, state, tasks, WAYS).metrics["loss"].mean())


@pytest.mark.parametrize("name", LOSS_APART)
def test_a_few_outer_steps_lower_the_loss(name: str) -> None:
    """With the settings in SMALL, as the test below shows it of all others on unseen tasks."""
    algorithm = quick(SMALL[name])
    state = state_of(algorithm)
    tasks = Episode.stack([episode(seed) for seed in range(4)])
    trained = meta_train(algorithm, state, repeat(tasks, 25), "Adam", 0.01)
    assert mean_loss(algorithm, trained, tasks) < 0.8 * mean_loss(algorithm, state, tasks)


def labellings(name: str, first: int, number: int, renamed: bool = True) -> Episode:
    # mini-batches of pre-training have the numbers of their classes as labels
    renamed = renamed and not isinstance(SMALL[name], BatchTrained)
    return Episode.stack([labelling(seed, renamed) for seed in range(first, first + number)])


def accuracy(algorithm: Algorithm, state: State, tasks: Episode, step: int = -1) -> float:
    outputs = batched_predictions(algorithm, state, tasks, WAYS, "transductive")[:, step]
    return float((outputs.argmax(-1) == tasks.query_y).double().mean())


@ALL
def test_learns_a_family_of_tasks_in_seconds(name: str) -> None:
    """Three characters under ever new labels: tasks that were never seen get easier."""
    how = LEARNING[name]
    algorithm = quick(SMALL[name].model_copy(update=how.changes))
    fresh = state_of(algorithm)
    tasks = (labellings(name, 8 * step, 8) for step in range(how.steps))
    trained = meta_train(algorithm, fresh, tasks, how.optimizer, how.meta_lr)
    unseen = Episode.stack([labelling(-seed) for seed in range(1, 41)])
    before, after = (accuracy(algorithm, state, unseen) for state in (fresh, trained))
    assert after > max(0.55, before + 0.15)  # chance is a third
    if name not in LOSS_APART:
        others = labellings(name, -100, 8)
        before, after = (mean_loss(algorithm, state, others) for state in (fresh, trained))
        assert after < 0.8 * before


@ALL
def test_without_information_accuracy_is_chance(name: str) -> None:
    """Labels are renamed in each task, so who learns nothing from the support set can't know them.

    The network knows the classes by heart, under the labels that they had in all of its training;
    then it adapts by no steps, or to a support set whose labels were dealt at random.
    """
    how = LEARNING[name]
    config = SMALL[name].model_copy(update=how.changes)
    algorithm = quick(config)
    fixed = (labellings(name, 8 * step, 8, renamed=False) for step in range(how.by_heart))
    state = meta_train(algorithm, state_of(algorithm), fixed, how.optimizer, how.meta_lr)
    unadapted = config.fixed_head and name in ADAPT_BY_STEPS
    generator = torch.Generator().manual_seed(0)

    def uninformed(tasks: list[Episode]) -> float:
        if unadapted:
            return accuracy(algorithm, state, Episode.stack(tasks), step=0)
        deals = (torch.randperm(len(t.support_y), generator=generator) for t in tasks)
        dealt = [t._replace(support_y=t.support_y[d]) for t, d in zip(tasks, deals, strict=True)]
        return accuracy(algorithm, state, Episode.stack(dealt))

    episodes = 300
    # at worst all queries of an episode are right or wrong together
    deviation = (1 / WAYS * (1 - 1 / WAYS) / episodes) ** 0.5
    found = uninformed([labelling(-seed) for seed in range(1, 1 + episodes)])
    assert abs(found - 1 / WAYS) < 4 * deviation
    if config.fixed_head:  # others have nothing to know a label by heart with
        assert uninformed([labelling(-seed, renamed=False) for seed in range(1, 41)]) > 0.6


@pytest.mark.parametrize("name", sorted(REGRESS))
@pytest.mark.parametrize("second_order", ["unrolled", "recursion"])
def test_regression_runs_through_every_method_that_can(name: str, second_order: str) -> None:
    config = in_form(SMALL[name], second_order)
    if name in ADAPT_BY_STEPS:
        config = config.model_copy(update={"inner_lr": 0.02})
    algorithm = algorithm_for(config, model="mlp", kind="regression")
    state = state_of(algorithm)
    tasks = Episode.stack([wave(seed) for seed in range(2)])
    result = batched_task_gradients(algorithm, state, tasks, 1)
    assert set(result.metrics) == {"loss"}
    outputs = batched_predictions(algorithm, state, tasks, 1, "inductive")
    assert outputs.shape == (2, len(algorithm.reported_steps), 6, 1)
    assert torch.isfinite(outputs).all()
    other = tasks._replace(support_y=tasks.support_y + 1)
    assert not torch.allclose(
        batched_predictions(algorithm, state, other, 1, "inductive")[:, -1], outputs[:, -1]
    )


@pytest.mark.parametrize("name", sorted(REGRESS & set(ADAPT_BY_STEPS)))
def test_inner_steps_on_a_curve_fit_its_points(name: str) -> None:
    config = SMALL[name].model_copy(update={"inner_lr": 0.02})
    algorithm = algorithm_for(config, model="mlp", kind="regression")
    state = state_of(algorithm)
    tasks = Episode.stack([wave(seed) for seed in range(2)])
    seen = tasks._replace(query_x=tasks.support_x, query_y=tasks.support_y)
    outputs = batched_predictions(algorithm, state, seen, 1, "inductive")
    first, last = ((outputs[:, i] - seen.query_y).square().mean() for i in (0, -1))
    assert last < first


@pytest.mark.parametrize("name", sorted(set(METHODS) - REGRESS))
def test_the_others_refuse_regression(name: str) -> None:
    with pytest.raises(InputError, match="cannot learn a regression task: set method.name to one"):
        algorithm_for(SMALL[name], model="mlp", kind="regression")
