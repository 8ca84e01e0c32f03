"""Runs whose episodes differ in ways and shots."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.algorithms.registry import METHODS
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.config.commands import train_command
from metaray.platform.config.loading import read_config
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.meta_curves import shapes_of
from metaray.platform.experiment.meta_data import open_data, open_fitted
from metaray.platform.report.record import RunRecord
from metaray.platform.report.words import measured, title
from metaray.platform.report.words import metrics as metrics_table
from metaray.platform.run.checkpoint import params_sha256
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.learner import MetaLearner
from metaray.platform.training.meta.messages import EvaluateRequest, Predictions, train_requests
from metaray.platform.training.meta.metrics import MetaTest
from metaray.platform.training.meta.pool import LocalPool
from metaray.platform.training.meta.shape_results import shape_results
from metaray.platform.training.meta.worker import TaskWorker

QUIET = [Terminal(Console(quiet=True))]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty classes with 12 to 30 vectors."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(40), rng.integers(12, 31, 40))
    x = rng.normal(size=(40, 6))[y] + 0.7 * rng.normal(size=(len(y), 6))
    path = tmp_path_factory.mktemp("varying") / "vectors.npz"
    np.savez(path, x=x, y=y)
    return path


def sets(vectors: Path, *more: str) -> list[str]:
    return [
        "data.name=features", f"data.root={vectors}", f"data.cache={vectors.parent}",
        "task.sampler=varying", "task.queries=4", "train.meta_batch_size=5", "train.shard_size=2",
        "train.outer_steps=3", "train.validate_every=2", "train.validate_episodes=4",
        "evaluate.num_episodes=30", "workers.count=0", "model.width=8", *more,
    ]  # fmt: skip


def config_of(vectors: Path, *more: str) -> RunConfig:
    config: RunConfig = META.load(None, sets(vectors, "model.name=mlp", *more))
    return config


def ways_for(name: str) -> list[str]:
    """Ways that do not vary where the method has one output per class."""
    return ["task.min_ways=4", f"task.max_ways={4 if METHODS[name].fixed_head else 7}"]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_uneven_shots(
    name: str, vectors: Path, tiny_of: Callable[[str], list[str]]
) -> None:
    own = [override for override in tiny_of(name) if override.startswith("method.")]
    blueprint = Blueprint.open(config_of(vectors, *own, *ways_for(name)))
    pool = LocalPool(blueprint)
    pool.train_step(train_requests(0, blueprint.config.train))
    test = evaluate(pool, blueprint, "test", 4)
    assert test.shots is not None
    assert any(len(set(shots.tolist())) > 1 for shots in test.shots)
    assert (len({len(shots) for shots in test.shots}) == 1) == METHODS[name].fixed_head
    assert np.isfinite(test.loss).all()


@pytest.mark.parametrize("name", ["maml", "protonet", "snail"])
def test_any_worker_gives_the_bits_of_one_process(name: str, vectors: Path) -> None:
    config = config_of(vectors, f"method.name={name}", *ways_for(name))
    alone, learner = LocalPool(Blueprint.open(config)), MetaLearner(Blueprint.open(config))
    state = learner.state().copy()
    requests = train_requests(0, config.train)
    alone.train_step(requests)
    backwards = [TaskWorker(Blueprint.open(config)).run(r, state) for r in requests[::-1]]
    sums, reports = zip(*backwards[::-1], strict=True)
    state, _ = learner.update(requests, reports, sums)
    assert params_sha256(learner.snapshot()) == params_sha256(alone.snapshot())
    tested = [EvaluateRequest(split="test", first_episode=i, num_episodes=1) for i in range(3)]
    expected = alone.evaluate(tested, None, lambda episodes: None)
    for request, theirs in zip(tested[::-1], expected[::-1], strict=True):
        found, _ = TaskWorker(Blueprint.open(config)).run(request, state)
        np.testing.assert_array_equal(found.outputs, theirs.outputs)
        assert found.outputs.shape[-1] == found.shots.shape[-1]
        assert found.shots.min() >= 1


@pytest.mark.parametrize("name", ["protonet", "nearest_mean"])
def test_a_run_is_trained_and_tested_with_varying_shapes(
    name: str, vectors: Path, tmp_path: Path
) -> None:
    """Training, test, resuming in the middle, and what is said of it."""
    config = config_of(vectors, f"method.name={name}")
    runner.new(config, tmp_path / "run", "local", QUIET)
    run = RunDirectory(tmp_path / "run")
    summary = json.loads(run.summary.read_text())
    assert (summary["sampler"], summary["ways"], summary["shots"]) == ("varying", None, None)
    assert sum(one["episodes"] for one in summary["by_ways"]) == 30
    assert summary["by_shots"][0]["from"] == 1
    assert summary["by_shots"][-1]["from"] >= 10
    record = RunRecord.read(run)
    ways, support = record.episodes["ways"].to_numpy(), record.episodes["support"].to_numpy()
    assert (ways.min(), ways.max()) == (5, 8)  # 8 test classes
    assert (support >= ways).all()
    assert record.chance == pytest.approx((1 / ways).mean())
    assert "varying ways and shots" in title(record)
    assert "Each shows 5 to 8 new classes with its own number of labelled vectors" in " ".join(
        measured(record)
    )
    assert "5 to 9: " in dict(metrics_table(record))["accuracy by classes of the episode"]
    assert record.calibration is None
    assert read_config(RunConfig, run.config) == record.config

    before = run.episodes.read_bytes()
    runner.evaluate(run.path, [], "local", QUIET)
    assert run.episodes.read_bytes() == before
    with pytest.raises(InputError, match=r"task\.ways has no effect with task\.sampler = varying"):
        runner.evaluate(run.path, ["task.ways=4"], "local", QUIET)
    fixed = ["task.sampler=fixed", "task.ways=4", "task.shots=2"]
    runner.evaluate(run.path, fixed, "local", QUIET)
    found = RunRecord.read(run)
    assert (found.shape.label, found.calibration is None) == ("4-way 2-shot", False)
    assert "by_ways" not in found.summary


def test_a_run_of_fixed_shapes_is_tested_with_varying_ones(vectors: Path, tmp_path: Path) -> None:
    more = ("task.sampler=fixed", "task.ways=4", "method.name=protonet", "train.outer_steps=1")
    runner.new(config_of(vectors, *more), tmp_path / "run", "local", QUIET)
    runner.evaluate(tmp_path / "run", ["task.sampler=varying", "task.queries=3"], "local", QUIET)
    record = RunRecord.read(RunDirectory(tmp_path / "run"))
    assert record.tested.task.train_sampler == "fixed"
    assert record.shape.varying is not None
    assert record.per_episode("ways") is not None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            ["method.name=maml"],
            "maml has one output per class.*task.min_ways = task.max_ways.*ridge",
        ),
        (["task.ways=4"], "task.ways has no effect with task.sampler = varying"),
        (
            ["task.train_shots=2"],
            "task.train_shots has no effect with task.train_sampler = varying",
        ),
        (
            ["task.sampler=fixed", "task.max_ways=9"],
            "task.max_ways has no effect with task.sampler = fixed",
        ),
        (["evaluate.shard_size=4"], "evaluate.shard_size has no effect"),
        (["task.min_ways=9", "task.max_ways=8"], "task.min_ways .9. is above task.max_ways"),
        (["task.max_support=40"], "task.max_support .40. leaves some of 50 classes"),
        (
            [
                "method.name=maml",
                "task.max_ways=5",
                "task.train_sampler=fixed",
                "task.train_ways=6",
            ],
            "task.train_ways .6. must equal task.max_ways .5.",
        ),
    ],
)
def test_what_cannot_take_effect_is_refused(
    settings: list[str], sentence: str, vectors: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        META.load(None, sets(vectors, "method.name=protonet", *settings))


def test_tasks_that_are_not_drawn_from_classes_have_no_sampler() -> None:
    for sampler, method in (("varying", "maml"), ("sequence", "snail")):
        chosen = [f"task.sampler={sampler}", f"method.name={method}", "workers.count=0"]
        config = META.load(None, ["data.name=sinusoid", *chosen])
        with pytest.raises(InputError, match=r"task\.sampler has no effect on sinusoid"):
            open_data(config)


def test_defaults_are_those_of_meta_dataset_and_are_lowered_to_the_data(vectors: Path) -> None:
    task = config_of(vectors, "method.name=protonet").task
    assert (task.min_ways, task.max_ways, task.max_support, task.max_support_per_class) == (
        5, 50, 500, 100,
    )  # fmt: skip
    plain = META.load(None, ["task.sampler=varying", "method.name=protonet"]).task
    assert (plain.queries, plain.train_queries, plain.train_sampler) == (10, 10, "varying")
    settings = [s for s in sets(vectors, "method.name=protonet") if "queries" not in s]
    few = META.load(None, [*settings, "data.split_ratio=[0.8, 0.1, 0.1]"])
    source, fitted, sentence = open_fitted(few, "local")
    smallest = min(source.smallest_class(split)[0] for split in ("val", "test"))
    assert (fitted.task.min_ways, fitted.task.queries) == (4, min(10, smallest // 2))
    assert "task.min_ways = 4 (the" in sentence


def test_a_sweep_leaves_out_what_the_sampler_draws(vectors: Path) -> None:
    fixed, varying = (
        META.space(config_of(vectors, "method.name=protonet", f"task.sampler={sampler}"))
        for sampler in ("fixed", "varying")
    )
    assert fixed.keys() - varying.keys() == {"task.train_ways"}


def test_the_commands_of_a_run_do_it_again(vectors: Path) -> None:
    config = config_of(vectors, "method.name=protonet", "task.max_ways=6")
    command = train_command(config)
    assert "--set task.sampler=varying" in command
    assert not any("task.ways" in part for part in command)
    again = [shlex.split(part)[1] for part in command if part.startswith("--set")]
    assert META.load(None, again) == config


def test_a_comparison_has_no_curves_over_shapes(vectors: Path) -> None:
    config = config_of(vectors, "method.name=protonet")
    source = open_data(config)
    curves = META.comparison.curves(config, source, None, None, 10)
    assert (curves.shots, curves.ways, shapes_of(config, curves)) == ((), (), [])
    with pytest.raises(InputError, match="--shots and --ways have no effect"):
        META.comparison.curves(config, source, (1, 5), None, 10)


SEQUENCES = ("task.sampler=sequence", "task.ways=3", "task.sequence_shots=4", "method.name=mann")


def test_a_run_on_sequences(vectors: Path, tmp_path: Path) -> None:
    """Training and test, and the test of a run that was trained on one shape."""
    config = config_of(vectors, *SEQUENCES)
    assert config.train_shape == config.test_shape
    runner.new(config, tmp_path / "run", "local", QUIET)
    run = RunDirectory(tmp_path / "run")
    summary = json.loads(run.summary.read_text())
    assert [(one["from"], one["to"]) for one in summary["by_shots"]] == [(k, k) for k in range(5)]
    assert (summary["sampler"], summary["chance"]) == ("sequence", pytest.approx(1 / 3))
    record = RunRecord.read(run)
    assert set(record.episodes["ways"].to_pylist()) == {3}
    assert "3-way sequences" in title(record)
    text = " ".join(measured(record))
    assert "Each shows 1 to 11 examples of a sequence of 3 new classes, 4 of each" in text
    assert read_config(RunConfig, run.config) == record.config

    fixed = config_of(vectors, "method.name=mann", "task.sampler=fixed", "task.ways=3")
    runner.new(fixed, tmp_path / "fixed", "local", QUIET)
    changes = ["task.sampler=sequence", "task.sequence_shots=2"]
    runner.evaluate(tmp_path / "fixed", changes, "local", QUIET)
    tested = json.loads((tmp_path / "fixed" / "summary.json").read_text())
    assert len(tested["by_shots"]) == 3
    assert tested["queries"] == 10  # the default of such a test, and not that of the training


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.labels_are_inputs])
def test_classes_without_an_example_are_taken_as_outputs(name: str, vectors: Path) -> None:
    """The same bits in any process, and as many outputs as the sequence has classes."""
    config = config_of(vectors, *SEQUENCES, f"method.name={name}")
    blueprint = Blueprint.open(config)
    alone, learner = LocalPool(blueprint), MetaLearner(Blueprint.open(config))
    requests, state = train_requests(0, config.train), learner.state().copy()
    alone.train_step(requests)
    backwards = [TaskWorker(Blueprint.open(config)).run(r, state) for r in requests[::-1]]
    sums, reports = zip(*backwards[::-1], strict=True)
    learner.update(requests, reports, sums)
    assert params_sha256(learner.snapshot()) == params_sha256(alone.snapshot())
    test = evaluate(alone, blueprint, "test", 12)
    assert test.shots is not None
    assert {len(shots) for shots in test.shots} == {3}
    assert min(int(shots.min()) for shots in test.shots) == 0


def test_methods_that_need_an_example_of_each_class_take_no_sequences(vectors: Path) -> None:
    for more, sentence in (
        (["method.name=protonet"], "protonet needs one of each.*one of mann, snail"),
        (
            ["task.shots=2"],
            "task.shots has no effect with task.sampler = sequence, which draws the",
        ),
        (["task.max_ways=9"], "task.max_ways has no effect with task.sampler = sequence"),
    ):
        with pytest.raises(InputError, match=sentence):
            config_of(vectors, *SEQUENCES, *more)
    with pytest.raises(InputError, match=r"fewer than 30 shots .*task.sequence_shots or"):
        Blueprint.open(config_of(vectors, *SEQUENCES, "task.sequence_shots=30")).source.check(
            "test", config_of(vectors, *SEQUENCES, "task.sequence_shots=30").test_shape
        )


def test_each_query_counts_the_same_in_a_sequence() -> None:
    def part(shots: list[int], labels: list[int], predicted: list[int]) -> Predictions:
        logits = 5.0 * np.eye(len(shots))[predicted][None, None]
        return Predictions(
            outputs=logits, labels=np.array([labels]), shots=np.array([shots], np.int64)
        )

    # two queries of a class with one example, one of which is right, and then a third, wrong one
    parts = [part([1, 1, 0], [0, 1], [0, 0]), part([1, 2, 2], [0, 1], [1, 1])]
    found = shape_results(MetaTest.of_parts("classification", parts, [0]), in_sequence=True)
    one, two = found["by_shots"]
    assert (one["from"], one["episodes"], one["accuracy"]) == (1, 2, pytest.approx(1 / 3))
    assert one["ci95"] > 0
    assert (two["from"], two["accuracy"], two["ci95"]) == (2, 1.0, None)


def test_results_by_shape_by_hand() -> None:
    """Two episodes: three classes with 1, 2 and 6 shots, and two with 1 and 1."""

    def part(shots: list[int], labels: list[int], predicted: list[int]) -> Predictions:
        logits = 5.0 * np.eye(len(shots))[predicted][None, None]
        return Predictions(
            outputs=logits, labels=np.array([labels]), shots=np.array([shots], np.int64)
        )

    first = part([1, 2, 6], [0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0])
    second = part([1, 1], [0, 1], [0, 0])
    test = MetaTest.of_parts("classification", [first, second], [0])
    assert test.score_by_step[:, 0].tolist() == [4 / 6, 0.5]
    found = shape_results(test)
    assert found["chance"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert [(b["from"], b["to"], b["accuracy"], b["episodes"]) for b in found["by_ways"]] == [
        (2, 4, pytest.approx((4 / 6 + 0.5) / 2), 2)
    ]
    by_shots: list[dict[str, Any]] = found["by_shots"]
    assert [(b["from"], b["to"], b["accuracy"], b["episodes"]) for b in by_shots] == [
        (1, 1, 0.5, 2), (2, 2, 1.0, 1), (5, 9, 0.5, 1),
    ]  # fmt: skip
    assert by_shots[1]["ci95"] is None
    table = test.to_table()
    assert (table["ways"].to_pylist(), table["support"].to_pylist()) == ([3, 2], [9, 2])
    (only,) = [b for b in test.calibration or [] if b.num_queries]
    assert (only.num_queries, only.accuracy) == (8, pytest.approx(5 / 8))
    fixed = MetaTest.from_outputs("classification", first.outputs, first.labels, [0])
    assert shape_results(fixed) == {}
    bad = part([1, 1], [0, 1], [0, 0])
    bad.outputs[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="1 of 2 test episodes, the first of them number 1"):
        MetaTest.of_parts("classification", [first, bad], [0])


def test_evaluation_is_the_same_at_every_call(vectors: Path) -> None:
    config = config_of(vectors, "method.name=protonet")
    blueprint = Blueprint.open(config)
    pool = LocalPool(blueprint)
    pool.train_step(train_requests(0, config.train))
    first, again = (evaluate(pool, blueprint, "test", 6) for _ in range(2))
    assert first.headline() == again.headline()
