"""``metaray transfer``: fine-tuning, domain adaptation, distillation, self-supervised training."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from metaray.platform.cli.options import Command, command
from metaray.platform.experiment.request import TransferRequest

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


class _Jobs(TyperGroup):
    """The registered jobs, and those of files, which are imported when one is asked for."""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        from metaray.algorithms.transfer.registry import JOBS

        self.commands.update({name: _command_of(name) for name in JOBS.names()})
        return super().list_commands(ctx)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from metaray.algorithms.plugins import is_outside, located
        from metaray.algorithms.transfer.registry import JOBS

        known = is_outside(cmd_name) or cmd_name in JOBS
        return _command_of(located(cmd_name)) if known else None


app = typer.Typer(
    cls=_Jobs,
    help="Train a network on one data set for the sake of another: jobs of Ray Train.\n\n"
    "`metaray train --set init.checkpoint=RUN` meta-trains from what a job learned, "
    "and `metaray transfer finetune --set init.checkpoint=RUN` from what any run learned.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.callback()
def _group() -> None:
    """The jobs are looked up by name."""


@cache
def _command_of(name: str) -> Any:
    """The command of a job, as typer makes it."""
    one = typer.Typer(rich_markup_mode="markdown", add_completion=False)
    epilog = "Examples:\n\n" + "\n\n".join(_EXAMPLES.get(name, ()))
    made = command(TransferRequest, transfer, job=name)
    one.command(name, cls=Command, help=_help(name), epilog=epilog)(made)
    return typer.main.get_command(one)


def transfer(request: TransferRequest) -> None:
    """Run a job, or continue it."""
    from metaray.platform.cli.runs import train_or_resume

    train_or_resume(request)


def _help(name: str) -> str:
    from metaray.algorithms.transfer.registry import JOBS

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
