"""``metaray compare``: train and test several methods under one budget, and say which is better."""

from __future__ import annotations

from metaray.platform.compare.request import CompareRequest

EPILOG = (
    "Examples:\n\n"
    "  metaray compare --methods maml,protonet --time 60\n\n"
    "  metaray compare --methods all --tasks 5000 --seeds 3 --set task.shots=5\n\n"
    "  metaray compare maml.toml mine.toml --steps 2000 --reference maml --out runs/mine\n\n"
    "  metaray compare --methods all --time 600 --set data.name=omniglot "
    "--set data.root=~/omniglot --address auto\n\n"
    "  metaray compare --resume runs/mine"
)


def compare(request: CompareRequest) -> None:
    """Train and test methods under one budget, on the same episodes, over several seeds.

    Runs go side by side, each as `metaray train` would do it, on one CPU unless `workers.count`
    says otherwise. The folder holds compare.html, summary.json, compare.parquet (a row per run and
    episode), plots, and a run directory for each run, on a disk that all nodes share. Ctrl-C stops
    after the current steps, with checkpoints.

    A budget in seconds stops each training, but leaves `train.outer_steps` and with it the course
    of the learning rate: set it to what you expect to be done in that time.
    """
    if request.resume is None:
        plan = request.planned()
    else:
        request.check_resuming("a comparison")
    from metaray.platform.cli.output import console
    from metaray.platform.compare import compare as story  # after the settings: it takes long
    from metaray.platform.compare.table import print_results

    options = story.LaunchOptions(request.where, request.parallel)
    if request.resume is None:
        results = story.compare(plan, request.out, options, console)
    else:
        results = story.resume(request.resume, options, console)
    print_results(results, console)
