"""What ``metaray serve`` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from metaray.platform.config.request import Request, argument, option


@dataclass(frozen=True, kw_only=True)
class ServeRequest(Request):
    """A server of a trained model."""

    command: ClassVar[str] = "serve"
    run_dir: str = argument(
        "Run: a folder or a URI; or a saved model.", role="earlier run", required=True
    )
    replicas: int | None = option("Processes that answer, a CPU each [1].", "--replicas", least=1)
    host: str | None = option("Address to listen on [127.0.0.1].", "--host")
    port: int | None = option("Port to listen on [8000].", "--port")
    metrics_port: int | None = option(
        "Port of this machine for metrics of requests, which Prometheus reads at /metrics [none].",
        "--metrics-port",
    )
    state: Path | None = option(
        "Folder for tasks, token and model; a server that is started with it again has the same "
        "tasks [serving, and the name of the run].",
        "--state",
        metavar="PATH",
        role="state",
    )
    token_file: Path | None = option(
        "File with the token that requests must have, 16 characters or more [one is made in the "
        "folder of --state].",
        "--token-file",
        metavar="FILE",
    )
    no_token: bool | None = option(
        "Answer requests without a token; on this machine alone.", "--no-token"
    )
