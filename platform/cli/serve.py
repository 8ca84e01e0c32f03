"""``metaray serve``."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from time import sleep

from metaray.algorithms.paths import user_path
from metaray.platform.common.terminal import waiting
from metaray.platform.serve.request import ServeRequest

EPILOG = (
    "Examples:\n\n"
    "  metaray serve runs/omniglot\n\n"
    "  metaray serve models/letters --replicas 2 --state serving/letters --port 9000\n\n"
    "  metaray submit -- serve omniglot --replicas 2\n\n"
    'Then: mr.Client("http://127.0.0.1:8000", token), the page at this address, or curl; /docs '
    "lists all requests."
)


def serve(request: ServeRequest) -> None:
    """Serve a trained model over HTTP, with Ray Serve.

    Clients register a task with a few pictures of each class, and ask about others: the page of
    the server, `/docs`, and `mr.Client` show how. Requests of all clients are predicted together,
    tasks are kept in the folder of --state and shared by all replicas. It listens on this machine
    alone, and asks for a token. Ctrl-C ends it.
    """
    from metaray.platform.cli.output import console

    replicas, host = request.replicas or 1, request.host or "127.0.0.1"
    port = 8000 if request.port is None else request.port
    with waiting(console, "loading"):
        import metaray
        from metaray.cluster.connect import connected
        from metaray.platform.api.loading import load_learner
        from metaray.platform.common.shutdown import GracefulShutdown
        from metaray.platform.serve.limits import ServeLimits
        from metaray.platform.serve.server import (
            PATIENT,
            check_metrics,
            check_place,
            model_in,
            served,
            url_of,
        )
        from metaray.platform.serve.token_file import given_token, made_token

        check_place(host, port, token=not request.no_token)
        check_metrics(request.metrics_port, port, request.where)
        given = given_token(request.token_file, request.no_token)
        limits = ServeLimits.from_environment()
        learner = load_learner(request.run_dir)
        place = user_path(
            request.state or Path("serving") / (request.run_name or "model")
        ).absolute()
        model = model_in(place, learner)
        secret = None if request.no_token else given or made_token(place)
    os.environ.update({name: os.environ.get(name, value) for name, value in PATIENT.items()})
    with ExitStack() as stack:
        with waiting(console, "starting the server"):
            stack.enter_context(
                connected(request.where, metaray, metrics_port=request.metrics_port)
            )
            # after Ray, which takes SIGTERM for itself
            shutdown = stack.enter_context(GracefulShutdown())
            stack.enter_context(served(model, place, secret, host, port, replicas, limits))
        console.print(f"serving {learner.spec.title} at {url_of(host, port)}")
        console.print(f"tasks: {place}")
        if request.metrics_port is not None:
            console.print(f"metrics: {url_of('127.0.0.1', request.metrics_port)}/metrics")
        if given is not None:
            console.print(f"token: that of {request.token_file}")
        elif secret is not None:
            console.print(f"token: {secret}")
        console.print("Ctrl-C ends the server")
        while shutdown.received is None:
            sleep(0.2)
    console.print("the server has ended")
