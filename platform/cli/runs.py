"""``metaray train`` and ``metaray evaluate``."""

from __future__ import annotations

from typing import Any

from metaray.algorithms.paths import user_path
from metaray.platform.common.terminal import waiting
from metaray.platform.experiment.request import EvaluateRequest, RunRequest, TrainRequest

TRAIN_EPILOG = (
    "Examples:\n\n"
    "  metaray train\n\n"
    "  metaray train --set method.name=protonet --out runs/protonet\n\n"
    "  metaray train omniglot.toml --set workers.count=4 --out runs/omniglot\n\n"
    "  metaray train --resume runs/omniglot\n\n"
    "  metaray train --resume runs/omniglot --set train.outer_steps=60000\n\n"
    "Settings are listed by `metaray settings`, methods by `metaray methods`."
)
EVALUATE_EPILOG = (
    "Examples:\n\n"
    "  metaray evaluate runs/omniglot --set evaluate.num_episodes=2000\n\n"
    "  metaray evaluate runs/omniglot --set evaluate.batch_norm=inductive\n\n"
    "  metaray evaluate runs/glyphs --set data.name=omniglot --set data.root=~/omniglot"
)


def train(request: TrainRequest) -> None:
    """Meta-train, meta-test on held-out classes, and write a report.

    The run directory holds config.json, metrics.jsonl, checkpoints, plots, summary.json,
    episodes.parquet and report.html. Ctrl-C stops after the current step, with a checkpoint.
    """
    train_or_resume(request)


def train_or_resume(request: RunRequest) -> dict[str, Any]:
    """A new or resumed run of any kind of experiment; prints its result, and returns it."""
    if request.resume is None:
        settings = request.settings()
    else:
        request.check_resuming("a run")
    from metaray.platform.cli.output import console, print_result
    from metaray.platform.run.directory import fresh_place

    _check_place(request.resume or request.out, begins=request.resume is None)
    with waiting(console, "loading"):
        from metaray.platform.api import runs
        from metaray.platform.callbacks.callback_list import CallbackList
        from metaray.platform.callbacks.terminal import Terminal

    callbacks = CallbackList([Terminal(console, request.title)])
    if request.resume is not None:
        place = request.resume
        summary = runs.resume(place, request.overrides or [], request.where, callbacks)
    else:
        place = request.out or fresh_place(runs.name_of(settings))
        summary = runs.new(settings, place, request.where, callbacks)
    print_result(summary, place)
    return summary


def _check_place(place: str | None, begins: bool) -> None:
    """What is wrong with the folder of a run, said before torch is loaded."""
    if place is None or "://" in place:
        return
    from metaray.platform.run.directory import RunDirectory

    if begins:
        RunDirectory.check_free(user_path(place))
    else:
        RunDirectory.open(user_path(place))


def evaluate(request: EvaluateRequest) -> None:
    """Meta-test a run again: more episodes, other shots, the other mode of batch norm.

    The result becomes the run's summary.json, episodes.parquet and report.html; every earlier one
    stays under evaluations/. What can be set is what does not shape training: `evaluate.*`,
    `method.eval_*`, `workers.*`, `task.ways`, `task.shots`, `task.queries`, `data.root` and
    `data.cache`; and, for a test on another data set than that of the training, `data.name` with
    all of `data.*`.
    """
    from metaray.platform.cli.output import console, print_result

    _check_place(request.run_dir, begins=False)
    with waiting(console, "loading"):
        from metaray.platform.api import runs
        from metaray.platform.callbacks.callback_list import CallbackList
        from metaray.platform.callbacks.terminal import Terminal
    callbacks = CallbackList([Terminal(console)])
    summary = runs.evaluate(request.run_dir, request.overrides or [], request.where, callbacks)
    print_result(summary, request.run_dir)
