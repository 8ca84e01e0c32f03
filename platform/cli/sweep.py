"""``metaray sweep``: search the settings of a method or of a transfer job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metaray.algorithms.errors import InputError
from metaray.platform.cli.options import Address

if TYPE_CHECKING:
    from rich.console import Console

    from metaray.platform.sweep.plan import SweepPlan
    from metaray.platform.sweep.results import SweepResult

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


def sweep(
    config: Annotated[
        Path | None, typer.Argument(help="Settings in TOML that all trials share.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one setting of all trials."),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(help="What to vary: ranges in .toml, or .py [those of the method or job]."),
    ] = None,
    num_trials: Annotated[int | None, typer.Option(min=1, help="Trials [20].")] = None,
    time_budget: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds after which to end the search.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What to optimize: val_accuracy, val_loss, val_mse; for a Pareto front with "
            "adapt_s or wall_s after a comma [val_accuracy or val_mse]."
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="Who proposes: tpe, cmaes, random or grid [tpe].")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Who ends poor trials early: asha, hyperband or none; pbt changes rates while "
            "trials run [asha; none for several metrics]."
        ),
    ] = None,
    grace: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps before a trial may be ended, and between the comparisons of pbt "
            "[validate_every].",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the sampler [0].")] = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Trials at once [as many as there is room for].")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="New folder [runs/sweep-METHOD|JOB-DATA-TIME]."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Sweep to continue: what is finished is kept.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            envvar="METARAY_STORAGE",
            help="Optuna storage, such as postgresql://... [a file in --out].",
        ),
    ] = None,
    address: Address = "local",
) -> None:
    """Search the settings of a method on validation, then test the best trial, once.

    Trials run side by side, each as `metaray train` would do it, on `workers.count` workers. The
    folder holds sweep.html, best.toml for `metaray train`, sweep.parquet, curves.parquet, a study
    for optuna-dashboard, and a run directory for each trial, on a disk that all nodes share.
    Ctrl-C ends after the current validations; --resume goes on.

    With job.name set, trials are transfer jobs, as `metaray transfer` does them, each in its own
    process (workers.count=0), and best.toml is for `metaray transfer JOB`. Set train.steps.
    """
    if storage is not None:
        from metaray.platform.sweep.storage import check_not_shown

        check_not_shown(storage, address, sys.argv)
    new = (config, overrides, space, metric, sampler, scheduler, grace, seed, out)
    if resume is not None:
        if any(value is not None for value in new):
            raise InputError(
                "--resume continues a sweep as it was planned: leave out all but --num-trials, "
                "--time-budget, --parallel, --storage and --address"
            )
        from metaray.platform.sweep import sweep as story

        limits = story.LaunchOptions(address, parallel, time_budget, storage)
        _show(story.resume(resume, num_trials, limits, _console()), resume)
        return
    plan, folder = planned(
        config, overrides, space, num_trials, metric, sampler, scheduler, grace, seed, out, storage
    )
    from metaray.platform.sweep import sweep as story  # after the settings: it takes seconds

    limits = story.LaunchOptions(address, parallel, time_budget, storage)
    _show(story.sweep(plan, space, folder, limits, _console()), folder)


def planned(
    config: Path | None,
    overrides: list[str] | None,
    space: Path | None,
    num_trials: int | None,
    metric: str | None,
    sampler: str | None,
    scheduler: str | None,
    grace: int | None,
    seed: int | None,
    out: str | None,
    storage: str | None,
) -> tuple[SweepPlan, Path]:
    """The sweep that the options ask for, and its folder; InputError if they are no good."""
    from metaray.algorithms.plugins import label_of
    from metaray.platform.config.loading import read_toml, with_overrides
    from metaray.platform.experiment.registry import kind_of
    from metaray.platform.run.directory import fresh_place
    from metaray.platform.run.storage.working_copy import shared_folder
    from metaray.platform.sweep.plan import make_plan
    from metaray.platform.sweep.storage import shown

    settings = with_overrides(read_toml(config) if config else {}, overrides or [])
    kind = kind_of(settings)
    base = kind.resolve(settings)
    place = out or fresh_place(f"sweep-{kind.name(base)}-{label_of(base.data.name)}")
    folder = shared_folder(place, "a sweep")
    plan = make_plan(
        settings,
        metrics=tuple(metric.split(",")) if metric else None,
        num_trials=num_trials,
        sampler=sampler,
        scheduler=scheduler,
        grace=grace,
        seed=seed,
        space_suffix=space.suffix if space else None,
        study_name=folder.name,
        storage=shown(storage) if storage else None,
    )
    return plan, folder


def _console() -> Console:
    from metaray.platform.cli.output import console

    return console


def _show(result: SweepResult, folder: Path) -> None:
    from metaray.platform.sweep.words import print_result

    print_result(result, folder, _console())
