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
    from metaray.platform.cli.output import console
    from metaray.platform.compare.table import terminal_tables

    if request.resume is not None:
        folder = request.resume
        request.check_resuming("a comparison")
        from metaray.platform.compare import compare as story

        results = story.resume(folder, request.where, request.parallel, console)
    else:
        from metaray.platform.run.directory import fresh_place
        from metaray.platform.run.storage.working_copy import shared_folder

        plan = request.planned()
        folder = shared_folder(request.out or fresh_place("compare"), "a comparison")
        for note in plan.notes:
            console.print(note, markup=False)
        from metaray.platform.compare import compare as story  # after the settings: it takes long

        results = story.compare(plan, folder, request.where, request.parallel, console)
    for table in terminal_tables(results):
        console.print(table)
        console.print()
    for run, reason in results.failures.items():
        console.print(f"{run} failed: {reason}", markup=False)
    console.print(f"page: {folder / 'compare.html'}")
