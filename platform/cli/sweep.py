"""``metaray sweep``: search the settings of a method or of a transfer job."""

from __future__ import annotations

import sys

from metaray.platform.sweep.request import SweepRequest

EPILOG = (
    "Examples:\n\n"
    "  metaray sweep --num-trials 20 --set train.outer_steps=200 --set train.validate_every=50 "
    "--set workers.count=0\n\n"
    "  metaray sweep omniglot.toml --space ranges.toml --time-budget 3600 --out runs/night\n\n"
    "  metaray sweep --metric val_accuracy,adapt_s --set method.name=anil\n\n"
    "  metaray sweep --scheduler pbt --num-trials 10 --grace 100 --set train.validate_every=50\n\n"
    "  metaray sweep --set job.name=finetune --set data.name=folder --set data.root=~/photos.zip "
    "--set train.steps=500\n\n"
    "  metaray sweep --resume runs/night --num-trials 60\n\n"
    "docs/sweeps.md tells how to write ranges."
)


def sweep(request: SweepRequest) -> None:
    """Search the settings of a method on validation, then test the best trial, once.

    Trials run side by side, each as `metaray train` would do it, on `workers.count` workers. The
    folder holds sweep.html, best.toml for `metaray train`, sweep.parquet, curves.parquet, a study
    for optuna-dashboard, and a run directory for each trial, on a disk that all nodes share.
    Ctrl-C ends after the current validations; --resume continues.

    With job.name set, trials are transfer jobs, as `metaray transfer` does them, each in its own
    process (workers.count=0), and best.toml is for `metaray transfer JOB`. Set train.steps.
    """
    if request.storage is not None:
        from metaray.platform.sweep.storage import check_not_shown

        check_not_shown(request.storage, request.where, sys.argv)
    if request.resume is not None:
        request.check_resuming("a sweep")
        plan, folder = None, request.resume
    else:
        plan, folder = request.planned()
    from metaray.platform.cli.output import console
    from metaray.platform.sweep import sweep as story  # after the settings: it takes seconds
    from metaray.platform.sweep.words import print_result

    limits = story.LaunchOptions(
        request.where, request.parallel, request.time_budget, request.storage
    )
    if plan is None:
        result = story.resume(folder, request.num_trials, limits, console)
    else:
        result = story.sweep(plan, request.space, folder, limits, console)
    print_result(result, folder, console)
