"""``metaray transfer``: fine-tuning, domain adaptation, distillation, self-supervised training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from metaray.algorithms.errors import InputError
from metaray.algorithms.plugins import label_of
from metaray.algorithms.transfer.registry import JOBS
from metaray.platform.cli.options import Address, Out, Overrides, Resume

app = typer.Typer(
    help="Train a network on one data set for the sake of another: jobs of Ray Train.\n\n"
    "`metaray train --set init.checkpoint=RUN` goes on with meta-training from what a job learned, "
    "and `metaray transfer finetune --set init.checkpoint=RUN` from what any run learned.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

_SETTINGS_HELP = (
    "Settings are listed by `metaray settings {name}`. Small jobs are done soonest in one process: "
    "--set workers.count=0; Ray Train takes some ten seconds to start its workers."
)
_EXAMPLES = {
    "finetune": (
        "  metaray transfer finetune --set data.name=folder --set data.root=~/photos.zip",
        "  metaray transfer finetune --set data.name=folder --set data.root=~/photos.zip "
        "--set init.checkpoint=runs/omniglot --set job.strategy=discriminative "
        "--set data.labels_per_class=10",
        "  metaray transfer finetune photos.toml --set evaluate.references='[\"scratch\"]' "
        "--out runs/photos",
        "  metaray transfer finetune --resume runs/photos",
    ),
    "dann": (
        "  metaray transfer dann --set data.name=arrays --set data.root='digits/usps_*.npz' "
        "--set target.name=arrays --set target.root=digits/mnist_t10k.npz "
        "--set target.division=random",
        "  metaray transfer dann pair.toml --set job.adaptation=coral --out runs/coral",
        "  metaray transfer dann --set data.name=glyphs --set target.name=omniglot "
        "--set target.root=~/omniglot --set target.split=alphabet "
        "--set job.target_classes=other --out runs/adapted",
    ),
    "distill": (
        "  metaray transfer distill --set job.teacher=runs/large --set data.name=folder "
        "--set data.root=~/photos.zip --set model.width=16",
    ),
    "simclr": (
        "  metaray transfer simclr --set data.name=folder --set data.root=~/photos.zip "
        "--set data.image_size=32",
        "  metaray transfer finetune --set init.checkpoint=runs/simclr --set data.name=folder "
        "--set data.root=~/photos.zip --set job.strategy=head",
    ),
    "moco": (
        "  metaray transfer moco --set data.name=folder --set data.root=~/photos.zip "
        "--set data.image_size=32 --set job.queue_size=4096 --set job.momentum=0.99",
    ),
}


def _command(job: str) -> Callable[..., None]:
    def run(
        config: Annotated[
            Path | None, typer.Argument(help="Settings in TOML; what it leaves open has defaults.")
        ] = None,
        overrides: Overrides = None,
        out: Out = None,
        resume: Resume = None,
        address: Address = "local",
    ) -> None:
        _run(job, config, overrides or [], out, resume, address)

    return run


def _run(
    job: str,
    config: Path | None,
    overrides: list[str],
    out: str | None,
    resume: str | None,
    address: str,
) -> None:
    from metaray.platform.config.transfer_loading import load_transfer_config
    from metaray.platform.run.directory import fresh_place

    if resume is None:
        settings = load_transfer_config(config, [f"job.name={job}", *overrides])
        if settings.job.name != job:
            raise InputError(f"job.name = {settings.job.name!r} is not {job}: leave it out")
    elif config is not None or out is not None:
        raise InputError("--resume continues a run where it is: leave out CONFIG and --out")
    from metaray.platform.api import runs
    from metaray.platform.callbacks.callback_list import CallbackList
    from metaray.platform.callbacks.terminal import Terminal
    from metaray.platform.cli.output import console
    from metaray.platform.report.transfer_words import result_lines

    callbacks = CallbackList([Terminal(console, job)])
    if resume is not None:
        place = resume
        summary = runs.resume(place, overrides, address, callbacks)
    else:
        place = out or fresh_place(f"{settings.job.label}-{label_of(settings.data.name)}")
        summary = runs.new(settings, place, address, callbacks)
    for line in result_lines(summary):
        console.print(line)
    console.print(f"report: {place}/report.html")


def _help(name: str) -> str:
    references = JOBS[name].references
    compared = (
        f"\n\nCompared with, if asked for by evaluate.references: {', '.join(references)}."
        if references
        else ""
    )
    return (
        f"{(JOBS[name].__doc__ or '').strip()}\n\n"
        "The run directory holds config.json, data.json, metrics.jsonl, checkpoints, plots, "
        "summary.json and report.html. Ctrl-C stops after the current step, with a checkpoint."
        f"{compared}\n\n{_SETTINGS_HELP.format(name=name)}"
    )


for _name in JOBS:
    _epilog = "Examples:\n\n" + "\n\n".join(_EXAMPLES.get(_name, ()))
    app.command(_name, help=_help(_name), epilog=_epilog)(_command(_name))
