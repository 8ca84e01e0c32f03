"""``metaray serve``."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from time import sleep
from typing import Annotated

import typer

from metaray.platform.common.terminal import waiting

EPILOG = (
    "Examples:\n\n"
    "  metaray serve runs/omniglot\n\n"
    "  metaray serve models/letters --replicas 2 --state serving/letters --port 9000\n\n"
    'Then: mr.Client("http://127.0.0.1:8000", token), the page at this address, or curl; /docs '
    "lists all requests."
)


def serve(
    run: Annotated[str, typer.Argument(help="Run: a folder or a URI; or a saved model.")],
    replicas: Annotated[int, typer.Option(help="Processes that answer, a CPU each.")] = 1,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Folder for tasks, token and model; a server that is started with it again has "
            "the same tasks [serving, and the name of the run].",
        ),
    ] = None,
    token: Annotated[
        bool, typer.Option("--token/--no-token", help="Whether requests need a token.")
    ] = True,
    address: Annotated[
        str, typer.Option(help="Ray: local, auto, HOST:PORT or ray://HOST:PORT.")
    ] = "local",
) -> None:
    """Serve a trained model over HTTP, with Ray Serve.

    Clients register a task with a few pictures of each class, and ask about others: the page of
    the server, `/docs`, and `mr.Client` show how. Requests of all clients are predicted together,
    tasks are kept in the folder of --state and shared by all replicas. It listens on this machine
    alone, and asks for a token. Ctrl-C ends it.
    """
    from metaray.platform.cli.output import console

    with waiting(console, "loading"):
        import metaray
        from metaray.cluster.connect import connected
        from metaray.platform.api.loading import load_learner
        from metaray.platform.common.shutdown import GracefulShutdown
        from metaray.platform.serve.limits import ServeLimits
        from metaray.platform.serve.server import (
            PATIENT,
            check_place,
            model_in,
            served,
            token_in,
            url_of,
        )

        check_place(host, port, replicas, token)
        limits = ServeLimits.from_environment()
        learner = load_learner(run)
        place = _place(state, run).absolute()
        model = model_in(place, learner)
        secret = token_in(place) if token else None
    os.environ.update({name: os.environ.get(name, value) for name, value in PATIENT.items()})
    with GracefulShutdown() as shutdown, ExitStack() as stack:
        with waiting(console, "starting the server"):
            stack.enter_context(connected(address, metaray))
            stack.enter_context(served(model, place, secret, host, port, replicas, limits))
        console.print(f"serving {learner.spec.title} at {url_of(host, port)}")
        console.print(f"tasks and token: {place}")
        if secret is not None:
            console.print(f"token: {secret}")
        console.print("Ctrl-C ends the server")
        while shutdown.received is None:
            sleep(0.2)
    console.print("the server has ended")


def _place(state: Path | None, run: str) -> Path:
    if state is not None:
        return state.expanduser()
    return Path("serving") / (run.rstrip("/").rpartition("/")[2] or "model")
