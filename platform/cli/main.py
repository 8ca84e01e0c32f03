"""``metaray``: the commands, and the one place that turns errors into sentences."""

from __future__ import annotations

import atexit
import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from metaray.algorithms.errors import InputError, is_of_disk
from metaray.cluster.proxies import avoid_proxies
from metaray.platform.cli import (
    choose,
    cluster,
    compare,
    data,
    embed,
    export,
    fit,
    jobs,
    label,
    predict,
    reproduce,
    runs,
    serve,
    sweep,
    transfer,
    watch,
)
from metaray.platform.cli.options import Command, command
from metaray.platform.compare.request import CompareRequest
from metaray.platform.experiment.request import EvaluateRequest, TrainRequest
from metaray.platform.serve.request import ServeRequest
from metaray.platform.sweep.request import SweepRequest

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


app.command("train", cls=Command, epilog=runs.TRAIN_EPILOG)(command(TrainRequest, runs.train))
app.command("evaluate", cls=Command, epilog=runs.EVALUATE_EPILOG)(
    command(EvaluateRequest, runs.evaluate)
)
app.command("compare", cls=Command, epilog=compare.EPILOG)(command(CompareRequest, compare.compare))
app.command(epilog=reproduce.EPILOG)(reproduce.reproduce)
app.command("sweep", cls=Command, epilog=sweep.EPILOG)(command(SweepRequest, sweep.sweep))
app.command(epilog=fit.EPILOG)(fit.fit)
app.command(epilog=choose.EPILOG)(choose.choose)
app.command(epilog=predict.EPILOG)(predict.predict)
app.command(epilog=export.EPILOG)(export.export)
app.command(epilog=embed.EPILOG)(embed.embed)
app.command(epilog=label.EPILOG)(label.label)
app.command("serve", cls=Command, epilog=serve.EPILOG)(command(ServeRequest, serve.serve))
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
    count: Annotated[int, typer.Argument(help="Target number of workers.")],
) -> None:
    """Change the number of workers of a running job. Its result does not change."""
    from metaray.platform.api.scaling import scale as request

    request(run_dir, count)
    typer.echo(f"requested {count} workers for {run_dir}; takes effect at the next step")


@app.command()
def version() -> None:
    """Print the version."""
    import metaray

    typer.echo(metaray.__version__)


@app.command(name="help", hidden=True)
def show_help(context: typer.Context) -> None:
    """What `--help` shows."""
    assert context.parent is not None
    typer.echo(context.parent.get_help())


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options before the command."""


def run() -> None:
    """Entry point. Exit codes: 0 done, 1 the run failed, 2 bad input, 130 stopped."""
    _search_garbage_seldom()
    avoid_proxies()  # trackers may ask a server on this machine
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
        _fail(_sentence(error), code)


def _search_garbage_seldom() -> None:
    """Imports make many objects and no cycles of garbage: the search is a fifth of their time."""
    gc.set_threshold(50_000, 20, 20)
    atexit.register(_end_without_search)


def _end_without_search() -> None:
    """The interpreter does not search at its end either, unless a library counts what it left."""
    if "triton" not in sys.modules:
        gc.freeze()


def _sentence(error: Exception) -> str:
    """What a failure says; the system's own about a disk names the file alone."""
    if isinstance(error, OSError):
        return (
            f"cannot write {error.filename or 'a file'}: {error.strerror}; make room or make it "
            "writable, then run the command again, with --resume where a run has begun"
        )
    return str(error)


def _known_failure(error: Exception) -> int | None:
    """The exit code of an error that is no bug, decided without importing what was not used."""
    if isinstance(error, OSError):
        return 1 if is_of_disk(error) else None
    kinds = {(type_.__module__, type_.__name__) for type_ in type(error).__mro__}
    for module, name, code in (
        ("metaray.cluster.errors", "ClusterError", 2),
        ("metaray.algorithms.errors", "DiskError", 1),
        ("metaray.platform.common.errors", "TrainingError", 1),
        ("metaray.platform.common.errors", "Stopped", 130),
    ):
        if (module, name) in kinds:
            return code
    return None


def _fail(message: str, code: int) -> None:
    typer.echo(f"metaray: {message}", err=True)
    sys.exit(code)
