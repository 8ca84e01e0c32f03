"""A server in this process, without Ray."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest
import uvicorn
from small_servers import LIMITS, TOKEN, learner_of
from torch import Tensor

import metaray as mr
from metaray.platform.serve.app import Answer, build_app
from metaray.platform.serve.deployment import answers
from metaray.platform.serve.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(learner_of("protonet"), tmp_path, LIMITS)


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    async def predict(name: str, x: Tensor) -> Answer:
        (found,) = answers(service, [(name, x)])
        if isinstance(found, Exception):
            raise found
        return found

    config = uvicorn.Config(build_app(service, predict, TOKEN), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def client(url: str) -> mr.Client:
    return mr.Client(url, TOKEN)
