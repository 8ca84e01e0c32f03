"""``metaray compare``: train and test several methods under one budget, and say which is better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metaray.algorithms.errors import InputError
from metaray.platform.cli.options import Address

if TYPE_CHECKING:
    from metaray.platform.compare.plan import Plan

EPILOG = (
    "Examples:\n\n"
    "  metaray compare --methods maml,protonet --time 60\n\n"
    "  metaray compare --methods all --tasks 5000 --seeds 3 --set task.shots=5\n\n"
    "  metaray compare maml.toml mine.toml --steps 2000 --reference maml --out runs/mine\n\n"
    "  metaray compare --methods all --time 600 --set data.name=omniglot "
    "--set data.root=~/omniglot --address auto\n\n"
    "  metaray compare --resume runs/mine"
)


def compare(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(help="Settings in TOML, an entry each; the file gives it its name."),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(help="Methods, an entry each with its published settings: a,b,c or all."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one setting for all entries."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Budget: outer steps.")] = None,
    tasks: Annotated[int | None, typer.Option(min=1, help="Budget: training tasks.")] = None,
    time: Annotated[
        float | None, typer.Option(min=0.001, help="Budget: seconds of training, validations too.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings of each entry [3].")] = None,
    shots: Annotated[
        str | None, typer.Option(help="Shots of the curve, like 1,5,20 [1 to 20 as data allows].")
    ] = None,
    ways: Annotated[
        str | None, typer.Option(help="Ways of the curve, like 5,10 [2 to 20 as data allows].")
    ] = None,
    curve_episodes: Annotated[
        int | None, typer.Option(min=2, help="Test episodes at each point of the curves [100].")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Entry that the others are compared to [the best one].")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="PATH", help="New folder [runs/compare-TIME].")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Comparison to continue: finished runs are kept.")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Runs at once [as many as there is room for].")
    ] = None,
    address: Address = "local",
) -> None:
    """Train and test methods under one budget, on the same episodes, over several seeds.

    Runs go side by side, each as `metaray train` would do it, on one CPU unless `workers.count`
    says otherwise. The folder holds compare.html, summary.json, compare.parquet (a row per run and
    episode), plots, and a run directory for each run, on a disk that all nodes share. Ctrl-C stops
    after the current steps, with checkpoints.

    A budget in seconds stops each training, but leaves `train.outer_steps` and with it the course
    of the learning rate: set it to what you expect to be done in that time.
    """
    from metaray.platform.run.directory import fresh_place
    from metaray.platform.run.storage.working_copy import shared_folder

    new = (
        configs, methods, overrides, steps, tasks, time, seeds, shots, ways, curve_episodes,
        reference, out,
    )  # fmt: skip
    if resume is not None:
        if any(new):
            raise InputError(
                "--resume continues a comparison as it was planned: leave out all but --address "
                "and --parallel"
            )
        _show(resume, None, address, parallel)
        return
    plan = planned(
        configs,
        methods,
        overrides,
        steps,
        tasks,
        time,
        seeds,
        shots,
        ways,
        curve_episodes,
        reference,
    )
    folder = shared_folder(out or fresh_place("compare"), "a comparison")
    _show(folder, plan, address, parallel)


def planned(
    configs: list[Path] | None,
    methods: str | None,
    overrides: list[str] | None,
    steps: int | None,
    tasks: int | None,
    time: float | None,
    seeds: int | None,
    shots: str | None,
    ways: str | None,
    curve_episodes: int | None,
    reference: str | None,
) -> Plan:
    """The comparison that the options ask for; InputError if they are no good."""
    given = {"steps": steps, "tasks": tasks, "seconds": time}
    budgets = {unit: amount for unit, amount in given.items() if amount is not None}
    if len(budgets) != 1:
        raise InputError(
            "a comparison needs one budget for all, got "
            f"{len(budgets) or 'none'}: give one of --steps, --tasks and --time"
        )
    from metaray.platform.compare.compare import parse_numbers
    from metaray.platform.compare.make_plan import make_plan
    from metaray.platform.compare.plan import Budget

    ((unit, amount),) = budgets.items()
    return make_plan(
        configs or [],
        methods,
        overrides or [],
        budget=Budget.model_validate({"unit": unit, "amount": amount}),
        num_seeds=seeds or 3,
        shots=parse_numbers("--shots", shots),
        ways=parse_numbers("--ways", ways),
        curve_episodes=curve_episodes or 100,
        reference=reference,
    )


def _show(folder: Path, plan: Plan | None, address: str, parallel: int | None) -> None:
    """Run or resume, then print the table."""
    from metaray.platform.cli.output import console
    from metaray.platform.compare import compare as story
    from metaray.platform.compare.table import terminal_tables

    if plan is None:
        results = story.resume(folder, address, parallel, console)
    else:
        for note in plan.notes:
            console.print(note, markup=False)
        results = story.compare(plan, folder, address, parallel, console)
    for table in terminal_tables(results):
        console.print(table)
        console.print()
    for run, reason in results.failures.items():
        console.print(f"{run} failed: {reason}", markup=False)
    console.print(f"page: {folder / 'compare.html'}")
