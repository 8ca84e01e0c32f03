"""Learner, worker and loop in one process: sums, clipping, resuming, stopping, divergence."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from metaray.algorithms.errors import InputError
from metaray.algorithms.registry import METHODS
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.cli.main import app
from metaray.platform.common.errors import LearnerLostError, NonFiniteError, WorkersLostError
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta import META
from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore, params_sha256
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.training.loop import OuterLoop, due
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.executor import (
    ShardSumExecutor,
    loop_settings,
)
from metaray.platform.training.meta.learner import MetaLearner
from metaray.platform.training.meta.messages import ShardReport, TrainRequest, train_requests
from metaray.platform.training.meta.pool import LocalPool
from metaray.platform.training.meta.worker import TaskWorker
from metaray.platform.training.schedule import meta_schedule
from metaray.platform.training.writer import LocalRunWriter

REQUEST = TrainRequest(step=0, shard=0, first_task=0, num_tasks=1)
REPORT = ShardReport(num_tasks=1, finite=True, metrics={"loss": 1.0}, sample_s=0.0, compute_s=0.0)


def config_of(tiny: list[str], *more: str) -> RunConfig:
    return META.load(None, [*tiny, *more])


def run_loop(
    config: RunConfig,
    folder: Path,
    stop: Callable[[], bool] = lambda: False,
    pool: LocalPool | None = None,
) -> Checkpoint:
    blueprint = Blueprint.open(config)
    callbacks = CallbackList()
    callbacks.stop.add_condition(stop)
    store = CheckpointStore(folder, "same", 2)
    with closing(LocalRunWriter(RunDirectory(folder), store, callbacks)) as writer:
        executor = ShardSumExecutor(pool or LocalPool(blueprint), blueprint)
        return OuterLoop(executor, writer, loop_settings(config)).run().checkpoint


def test_shards_cover_each_task_once(tiny: list[str]) -> None:
    train = config_of(tiny).train
    requests = train_requests(4, train)
    assert [r.num_tasks for r in requests] == [3, 3, 1]
    tasks = [t for r in requests for t in range(r.first_task, r.first_task + r.num_tasks)]
    assert tasks == list(range(28, 35))


def test_one_step_is_adam_on_the_mean_over_tasks(tiny: list[str]) -> None:
    config = config_of(tiny, "workers.precision=float64")
    blueprint = Blueprint.open(config)
    worker, learner = TaskWorker(blueprint), MetaLearner(blueprint)
    start = learner.state()
    each = [
        worker.run(TrainRequest(step=0, shard=0, first_task=t, num_tasks=1), start)[0]
        for t in range(7)
    ]
    requests = train_requests(0, config.train)
    sums, reports = zip(*(worker.run(request, start) for request in requests), strict=True)
    after, report = learner.update(requests, reports, sums)
    leaf = torch.from_numpy(start.copy()).requires_grad_()
    adam = torch.optim.Adam([leaf], lr=config.train.meta_lr)
    leaf.grad = torch.from_numpy(np.mean(each, axis=0))
    adam.step()
    np.testing.assert_allclose(after, leaf.detach().numpy(), rtol=1e-9)
    assert report.grad_norm == pytest.approx(float(leaf.grad.norm()), rel=1e-9)


@pytest.mark.parametrize(("key", "bound"), [("clip_value", 1e-3), ("clip_norm", 1e-2)])
def test_clipping_bounds_the_update(tiny: list[str], key: str, bound: float) -> None:
    config = config_of(tiny, f"train.{key}={bound}", "train.optimizer=sgd", "train.meta_lr=1.0")
    learner = MetaLearner(Blueprint.open(config))
    start = learner.state()
    gradient = np.linspace(-1, 1, start.size).astype(start.dtype)
    step = start - learner.update([REQUEST], [REPORT], [gradient])[0]
    size = np.abs(step).max() if key == "clip_value" else np.linalg.norm(step)
    assert size == pytest.approx(bound, rel=1e-3)


def test_updates_must_come_in_order(tiny: list[str]) -> None:
    learner = MetaLearner(Blueprint.open(config_of(tiny)))
    with pytest.raises(RuntimeError, match="at step 0, got an update for 3"):
        learner.update([replace(REQUEST, step=3)], [REPORT], [learner.state()])


def test_a_non_finite_gradient_changes_nothing(tiny: list[str]) -> None:
    learner = MetaLearner(Blueprint.open(config_of(tiny)))
    before = learner.snapshot()
    bad = learner.state()
    bad[0] = np.inf
    with pytest.raises(NonFiniteError, match="meta-gradient of step 0 is not finite"):
        learner.update([REQUEST], [REPORT], [bad])
    assert learner.step == 0
    assert params_sha256(learner.snapshot()) == params_sha256(before)


def test_divergence_stops_the_run_and_names_the_shard(tiny: list[str], tmp_path: Path) -> None:
    config = config_of(tiny, "method.inner_lr=1e30", "method.inner_steps=3")
    with pytest.raises(
        NonFiniteError, match=r"step 0, shard 0 \(tasks 0 to 2\).*nothing was updated"
    ):
        run_loop(config, tmp_path)
    assert [p.name for p in tmp_path.glob("step-*")] == ["step-00000000.safetensors"]


@pytest.mark.parametrize(
    ("method", "stop_after"), [("maml", 1), *((method, 4) for method in METHODS)]
)
def test_stopped_and_resumed_equals_uninterrupted(
    tiny_of: Callable[[str], list[str]], tmp_path: Path, method: str, stop_after: int
) -> None:
    """Adam's state, Reptile's moments, running statistics, schedule, best step, and the log."""
    more = ["train.schedule=linear", "model.width=4"]
    more += ["train.meta_batch_size=3", "train.shard_size=2", "train.validate_episodes=4"]
    config = config_of(tiny_of(method), *more)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir()
    halves.mkdir()
    expected = run_loop(config, whole)
    asked = iter(range(100))
    stopped = run_loop(config, halves, stop=lambda: next(asked) >= stop_after)
    assert stopped.step == stop_after
    resumed = run_loop(config, halves)
    assert resumed.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(resumed.tensors[k], expected.tensors[k]) for k in expected.tensors)
    assert (resumed.best_step, resumed.best_score) == (expected.best_step, expected.best_score)
    rows = [MetricsLog.read(folder / "metrics.jsonl") for folder in (whole, halves)]
    for key in ("step", "loss", "grad_norm", "meta_lr", "val_accuracy"):
        assert [r.get(key) for r in rows[0]] == [r.get(key) for r in rows[1]], key


class _WatchedPool(LocalPool):
    """A pool that notes which splits it was asked about."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(Blueprint.open(config))
        self.splits: set[str] = set()

    def evaluate(self, requests, state=None, done=lambda episodes: None):  # type: ignore[no-untyped-def]
        self.splits |= {request.split for request in requests}
        return super().evaluate(requests, state, done)


def test_the_best_step_is_chosen_on_validation_classes_alone(
    tiny: list[str], tmp_path: Path
) -> None:
    config = config_of(tiny, "train.validate_every=1", "train.validate_episodes=20")
    pool = _WatchedPool(config)
    last = run_loop(config, tmp_path, pool=pool)
    assert pool.splits == {"val"}
    scores = {
        row["step"]: row["val_accuracy"] for row in MetricsLog.read(tmp_path / "metrics.jsonl")
    }
    assert len(scores) == 6
    assert last.best_score == max(scores.values())
    assert last.best_step in scores
    assert scores[last.best_step] == last.best_score


def test_a_pool_in_process_opens_no_data_and_builds_no_algorithm_again(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blueprint = Blueprint.open(config_of(tiny))
    fail = lambda *_: pytest.fail("built a second time")  # noqa: E731
    for name in ("open_source", "build_algorithm"):
        monkeypatch.setattr(f"metaray.platform.training.meta.blueprint.{name}", fail)
    pool = LocalPool(blueprint)
    pool.train_step(train_requests(0, blueprint.config.train))
    evaluate(pool, blueprint, "test", 4)


@pytest.mark.parametrize("method", METHODS)
def test_evaluation_changes_no_bit_of_the_learner(
    tiny_of: Callable[[str], list[str]], method: str
) -> None:
    config = config_of(tiny_of(method))
    pool = LocalPool(Blueprint.open(config))
    pool.train_step(train_requests(0, config.train))
    before = pool.snapshot()
    evaluate(pool, Blueprint.open(config), "test", 4)
    after = pool.snapshot()
    assert all(torch.equal(before.tensors[k], after.tensors[k]) for k in after.tensors)


def test_a_run_killed_between_checkpoints_repeats_the_lost_steps(
    tiny: list[str], tmp_path: Path
) -> None:
    """What a SIGKILL leaves: a log that is ahead of the newest checkpoint, with a torn line."""
    config = config_of(tiny)
    expected = run_loop(config, tmp_path)
    last = tmp_path / "step-00000006.safetensors"
    last.unlink()
    (tmp_path / "step-00000005.safetensors").unlink(missing_ok=True)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')
    again = run_loop(config, tmp_path)
    assert params_sha256(again) == params_sha256(expected)
    assert [row["step"] for row in MetricsLog.read(tmp_path / "metrics.jsonl")] == list(range(1, 7))


class _ForgetfulPool(LocalPool):
    """A pool whose learner dies before the given steps."""

    def __init__(self, config: RunConfig, deaths: list[int]) -> None:
        super().__init__(Blueprint.open(config))
        self.deaths = deaths
        self.config = config

    def train_step(self, requests):  # type: ignore[no-untyped-def]
        if requests[0].step in self.deaths:
            self.deaths.remove(requests[0].step)
            self._learner = MetaLearner(Blueprint.open(self.config))
            raise LearnerLostError("gone")
        return super().train_step(requests)


def test_a_lost_learner_goes_back_to_the_checkpoint(tiny: list[str], tmp_path: Path) -> None:
    config = config_of(tiny)
    for name in ("calm", "deaths"):
        (tmp_path / name).mkdir()
    expected = run_loop(config, tmp_path / "calm")
    pool = _ForgetfulPool(config, [1, 3, 5])
    assert params_sha256(run_loop(config, tmp_path / "deaths", pool=pool)) == params_sha256(
        expected
    )


class _BriefPool(LocalPool):
    """A pool whose learner is lost while it is asked for a state, or given one."""

    def __init__(self, config: RunConfig, deaths: list[tuple[str, int]]) -> None:
        super().__init__(Blueprint.open(config))
        self.deaths = deaths

    def snapshot(self) -> Checkpoint:
        checkpoint = super().snapshot()
        self._die("snapshot", checkpoint.step)
        return checkpoint

    def restore(self, checkpoint: Checkpoint) -> None:
        self._die("restore", checkpoint.step)
        super().restore(checkpoint)

    def _die(self, what: str, step: int) -> None:
        if (what, step) in self.deaths:
            self.deaths.remove((what, step))
            raise LearnerLostError("gone")


def test_a_learner_is_replaced_wherever_it_is_lost(tiny: list[str], tmp_path: Path) -> None:
    """At a checkpoint, at the very end, and where a run is resumed."""
    config = config_of(tiny)
    for name in ("calm", "deaths"):
        (tmp_path / name).mkdir()
    expected = run_loop(config, tmp_path / "calm")
    pool = _BriefPool(config, [("snapshot", 2), ("snapshot", 6), ("snapshot", 6)])
    assert params_sha256(run_loop(config, tmp_path / "deaths", pool=pool)) == params_sha256(
        expected
    )
    assert not pool.deaths
    pool = _BriefPool(config, [("restore", 6), ("restore", 6)])
    assert params_sha256(run_loop(config, tmp_path / "deaths", pool=pool)) == params_sha256(
        expected
    )
    assert not pool.deaths


def test_too_many_lost_learners_end_the_run(tiny: list[str], tmp_path: Path) -> None:
    config = config_of(tiny, "workers.max_restarts=2")
    with pytest.raises(WorkersLostError, match="lost the learner 3 times"):
        run_loop(config, tmp_path, pool=_ForgetfulPool(config, [1] * 3))


def test_early_stopping_ends_meta_training(tiny: list[str], tmp_path: Path) -> None:
    """Where nothing is learned, no validation after the first is better."""
    sets = ["train.outer_steps=50", "train.validate_every=2", "train.meta_lr=1e-30"]
    last = run_loop(config_of(tiny, *sets, "train.patience=3"), tmp_path)
    assert (last.step, last.best_step) == (2 + 3 * 2, 2)


def test_a_time_budget_ends_training_with_a_validation(tiny: list[str], tmp_path: Path) -> None:
    sets = ["train.time_budget_s=0.5", "train.outer_steps=100000", "train.validate_every=90000"]
    last = run_loop(config_of(tiny, *sets), tmp_path)
    assert 0 < last.step < 100_000
    assert last.best_step == last.step
    assert last.wall_s > 0.5


def test_schedules() -> None:
    train = RunConfig().train.model_copy(
        update={"outer_steps": 10, "meta_lr": 1.0, "min_meta_lr": 0.2}
    )
    at = lambda step, kind: meta_schedule(train.model_copy(update={"schedule": kind})).at(step)  # noqa: E731
    assert [at(s, "constant") for s in (0, 9)] == [1.0, 1.0]
    assert [at(s, "linear") for s in (0, 5)] == pytest.approx([1.0, 0.6])
    assert [at(s, "cosine") for s in (0, 5, 10)] == pytest.approx([1.0, 0.6, 0.2])
    halved = train.model_copy(update={"schedule": "step", "lr_step_every": 4})
    assert [meta_schedule(halved).at(s) for s in (3, 4, 8)] == [1.0, 0.5, 0.25]


def test_a_warm_up_rises_to_the_rate_of_the_schedule() -> None:
    update = {"outer_steps": 100, "meta_lr": 1.0, "warmup": 0.1, "schedule": "cosine"}
    rates = [meta_schedule(RunConfig().train.model_copy(update=update)).at(s) for s in range(100)]
    assert rates[:11] == pytest.approx([(s + 1) / 11 for s in range(11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_due() -> None:
    assert [s for s in range(1, 8) if due(s, 3, 7)] == [3, 6, 7]
    assert not any(due(s, 0, 7) for s in range(1, 8))


def test_bfloat16_trains_close_to_float32_with_parameters_in_float32(tiny: list[str]) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        config = config_of(tiny, f"workers.precision={precision}")
        pool = LocalPool(Blueprint.open(config))
        shards = pool.train_step(train_requests(0, config.train)).shards
        losses[precision] = sum(s.metrics["loss"] for s in shards) / 7
        assert pool.snapshot().tensors["params"].dtype == torch.float32
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)


def test_metrics_lines_are_json_with_the_promised_keys(tiny: list[str], tmp_path: Path) -> None:
    run_loop(config_of(tiny), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert {"step", "loss", "accuracy", "grad_norm", "tasks_per_s", "workers"} <= rows[0].keys()
    assert [row["step"] for row in rows if "val_accuracy" in row] == [3, 6]


@pytest.mark.parametrize("method", METHODS)
def test_regression_is_trained_or_refused_in_one_sentence(method: str) -> None:
    config = META.load(None, [f"method.name={method}", "data.name=sinusoid", "model.width=8"])
    if config.method.learns_regression:
        (report,) = LocalPool(Blueprint.open(config)).train_step([REQUEST]).shards
        assert report.finite
        assert set(report.metrics) == {"loss"}
    else:
        with pytest.raises(InputError, match=f"{method} classifies .*: set method.name to one of"):
            LocalPool(Blueprint.open(config))


def test_the_command_refuses_regression_for_a_classifier(tmp_path: Path) -> None:
    settings = ["method.name=protonet", "data.name=sinusoid", "workers.count=0"]
    options = [part for setting in settings for part in ("--set", setting)]
    with pytest.raises(InputError, match="protonet classifies and cannot learn a regression task"):
        CliRunner().invoke(
            app, ["train", "--out", str(tmp_path / "run"), *options], catch_exceptions=False
        )
