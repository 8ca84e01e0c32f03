"""``metaray``: the commands, and the one place that turns errors into sentences."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from metaray.algorithms.errors import InputError
from metaray.platform.cli import cluster, compare, data, jobs, sweep, transfer, watch
from metaray.platform.cli.options import Address, Out, Overrides, Resume

_JOBS = "Clusters and their jobs"

app = typer.Typer(
    help="Few-shot and meta-learning, the same on a laptop and on a Ray cluster.\n\n"
    "`metaray train` with nothing else meta-trains MAML on built-in characters in a few minutes.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
app.add_typer(transfer.app, name="transfer")
app.add_typer(cluster.app, name="cluster", rich_help_panel=_JOBS)


@app.command(
    epilog="Examples:\n\n"
    "  metaray train\n\n"
    "  metaray train --set method.name=protonet --out runs/protonet\n\n"
    "  metaray train omniglot.toml --set workers.count=4 --out runs/omniglot\n\n"
    "  metaray train --resume runs/omniglot\n\n"
    "  metaray train --resume runs/omniglot --set train.outer_steps=60000\n\n"
    "Settings are listed by `metaray settings`, methods by `metaray methods`."
)
def train(
    config: Annotated[
        Path | None, typer.Argument(help="Settings in TOML. What it leaves open is as published.")
    ] = None,
    overrides: Overrides = None,
    out: Out = None,
    resume: Resume = None,
    address: Address = "local",
) -> None:
    """Meta-train, meta-test on held-out classes, and write a report.

    The run directory holds config.json, metrics.jsonl, checkpoints, plots, summary.json,
    episodes.parquet and report.html. Ctrl-C stops after the current step, with a checkpoint.
    """
    from metaray.algorithms.plugins import label_of
    from metaray.platform.cli.output import console, print_result
    from metaray.platform.config.loading import load_config
    from metaray.platform.run.directory import fresh_place

    if resume is None:
        settings = load_config(config, overrides or [])
    elif config is not None or out is not None:
        raise InputError("--resume continues a run where it is: leave out CONFIG and --out")
    from metaray.platform.api import runs
    from metaray.platform.callbacks.callback_list import CallbackList
    from metaray.platform.callbacks.terminal import Terminal

    callbacks = CallbackList([Terminal(console)])
    if resume is not None:
        place = resume
        summary = runs.resume(place, overrides or [], address, callbacks)
    else:
        place = out or fresh_place(f"{settings.method.label}-{label_of(settings.data.name)}")
        summary = runs.new(settings, place, address, callbacks)
    print_result(summary, place)


@app.command(
    epilog="Examples:\n\n"
    "  metaray evaluate runs/omniglot --set evaluate.num_episodes=2000\n\n"
    "  metaray evaluate runs/omniglot --set evaluate.batch_norm=inductive\n\n"
    "  metaray evaluate runs/glyphs --set data.name=omniglot --set data.root=~/omniglot"
)
def evaluate(
    run_dir: Annotated[str, typer.Argument(help="Run: a folder or a URI.")],
    overrides: Overrides = None,
    address: Address = "local",
) -> None:
    """Meta-test a run again: more episodes, other shots, the other mode of batch norm.

    The result becomes the run's summary.json, episodes.parquet and report.html; every earlier one
    stays under evaluations/. What can be set is what does not shape training: `evaluate.*`,
    `method.eval_*`, `workers.*`, `task.ways`, `task.shots`, `task.queries`, `data.root` and
    `data.cache`; and, for a test on another data set than that of the training, `data.name` with
    all of `data.*`.
    """
    from metaray.platform.api import runs
    from metaray.platform.callbacks.callback_list import CallbackList
    from metaray.platform.callbacks.terminal import Terminal
    from metaray.platform.cli.output import console, print_result

    summary = runs.evaluate(run_dir, overrides or [], address, CallbackList([Terminal(console)]))
    print_result(summary, run_dir)


app.command(epilog=compare.EPILOG)(compare.compare)
app.command(epilog=sweep.EPILOG)(sweep.sweep)
app.command(epilog=watch.EPILOG)(watch.watch)
app.command(epilog=jobs.SUBMIT_EPILOG, rich_help_panel=_JOBS)(jobs.submit)
for _command in (jobs.jobs, jobs.status, jobs.logs, jobs.stop, jobs.fetch):
    _lines = (f"  {line}" for line in jobs.EPILOGS[_command.__name__])
    _epilog = "\n\n".join(["Examples:", *_lines])
    app.command(epilog=_epilog, rich_help_panel=_JOBS)(_command)


@app.command()
def methods() -> None:
    """List the methods: what each is, and its paper."""
    from metaray.platform.cli.listings import print_methods

    print_methods()


@app.command()
def settings(
    method: Annotated[
        str, typer.Argument(help="Method or transfer job whose settings and defaults to show.")
    ] = "maml",
    data_name: Annotated[str, typer.Option("--data", help="Data set.")] = "glyphs",
) -> None:
    """List every setting with its meaning, and its default for a method or a transfer job."""
    from metaray.platform.cli.listings import print_settings

    print_settings(method, data_name)


@app.command()
def scale(
    run_dir: Annotated[Path, typer.Argument(help="Folder of a run that is training.")],
    count: Annotated[int, typer.Argument(help="Workers that it shall have.")],
) -> None:
    """Let workers join or leave a running job. Its result does not change."""
    from metaray.platform.run.directory import RunDirectory
    from metaray.platform.run.worker_requests import request_workers

    request_workers(RunDirectory.open(run_dir), count)
    typer.echo(f"{run_dir} is asked to go on with {count} workers from its next step")


@app.command()
def version() -> None:
    """Print the version."""
    import metaray

    typer.echo(metaray.__version__)


def run() -> None:
    """Entry point. Exit codes: 0 done, 1 the run failed, 2 bad input, 130 stopped."""
    try:
        app()
    except InputError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except Exception as error:
        code = _known_failure(error)
        if code is None:
            raise
        _fail(str(error), code)


def _known_failure(error: Exception) -> int | None:
    """The exit code of an error that is no bug, decided without importing what was not used."""
    kinds = {(type_.__module__, type_.__name__) for type_ in type(error).__mro__}
    for module, name, code in (
        ("metaray.cluster.errors", "ClusterError", 2),
        ("metaray.platform.common.errors", "TrainingError", 1),
        ("metaray.platform.common.errors", "Stopped", 130),
    ):
        if (module, name) in kinds:
            return code
    return None


def _fail(message: str, code: int) -> None:
    typer.echo(f"metaray: {message}", err=True)
    sys.exit(code)
