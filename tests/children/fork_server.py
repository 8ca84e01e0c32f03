"""A process that has imported torch and metaray, and forks for programs that tests start.

Importing them takes five seconds of CPU time, more than what a worker of a test does after that.
Each program imports Ray itself, and what needs Ray, as a new process does.

``python fork_server.py SOCKET`` serves until its standard input ends.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any

from fork_client import surroundings

LIBRARIES = (
    "aiohttp", "boto3", "google.protobuf.json_format", "grpc", "jinja2", "jsonschema",
    "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg",
    "metaray.algorithms.methods.maml", "metaray.algorithms.models.conv4",
    "metaray.platform.cli.main", "metaray.platform.experiment.meta_session",
    "metaray.platform.report.page", "metaray.platform.training.meta.learner",
    "metaray.platform.training.meta.worker", "optuna", "pandas",
    "PIL.Image", "psutil", "pyarrow.fs", "pydantic", "requests", "rich.console",
    "safetensors.torch", "scipy.stats", "sklearn.linear_model", "tensorboardX", "torch.func",
    "tqdm", "typer", "urllib3", "uvloop", "yaml",
)  # fmt: skip
"""without Ray, which reads its settings from the environment when it is imported, and without
triton, whose objects have to be collected as garbage when a process ends"""
Request = dict[str, Any]
"""as ``fork_client.hand_over`` writes it"""


class Server:
    """For each fork it writes a file beside its socket: named by the id of the process that asked,
    with the id of the fork."""

    def __init__(self, path: str) -> None:
        self._folder = os.path.dirname(path)
        self._surroundings = json.loads(json.dumps(surroundings()))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(64)
        self._ended, self._ending = socket.socketpair()
        self._events = selectors.DefaultSelector()
        self._forks: dict[int, tuple[socket.socket, str]] = {}

    def serve(self) -> Request | None:
        """Returns the request in each fork, and None in the server when its input has ended."""
        self._ending.setblocking(False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._ending.fileno(), warn_on_full_buffer=False)
        for file in (sys.stdin, self._listener, self._ended):
            self._events.register(file, selectors.EVENT_READ)
        while True:
            for key, _ in self._events.select():
                if key.fileobj is sys.stdin:
                    for fork in self._forks:
                        os.kill(fork, signal.SIGKILL)
                    return None
                if key.fileobj is self._ended:
                    self._ended.recv(64)
                    self._report_ended()
                elif key.fileobj is self._listener:
                    if (request := self._fork()) is not None:
                        return request
                elif key.data in self._forks:  # the process that asked was killed
                    self._events.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)

    def _fork(self) -> Request | None:
        client, _ = self._listener.accept()
        request, streams = _received(client)
        fork = os.fork() if request.get("surroundings") == self._surroundings else None
        if fork == 0:
            self._leave(client)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
        for stream in streams:
            os.close(stream)
        if fork == 0:
            return request
        if fork is None:
            client.close()
            return None
        file = os.path.join(self._folder, str(request["process"]))
        with open(file, "w", encoding="utf-8") as found:
            found.write(str(fork))
        _answer(client, fork)
        self._forks[fork] = client, file
        self._events.register(client, selectors.EVENT_READ, fork)
        return None

    def _report_ended(self) -> None:
        while self._forks:
            fork, status = os.waitpid(-1, os.WNOHANG)
            if fork == 0:
                return
            client, file = self._forks.pop(fork)
            os.unlink(file)
            if client in {key.fileobj for key in self._events.get_map().values()}:
                self._events.unregister(client)
                _answer(client, status)
            client.close()

    def _leave(self, client: socket.socket) -> None:
        """In a fork: close the server's files. Ray may kill a worker's process group, so it gets
        a separate one."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._events.close()
        for one in (client, self._listener, self._ended, self._ending):
            one.close()
        for other, _ in self._forks.values():
            other.close()


def _received(client: socket.socket) -> tuple[Request, list[int]]:
    """The request and its standard streams; an empty request if the process was killed."""
    length, streams, _, _ = socket.recv_fds(client, 8, 3)
    try:
        with client.makefile("rb") as body:
            return json.loads(body.read(int.from_bytes(length, "big"))), streams
    except (OSError, ValueError):
        return {}, streams


def _answer(client: socket.socket, number: int) -> None:
    with suppress(OSError):  # the process was killed
        client.sendall(b"%d\n" % number)


def become(request: Request) -> None:
    """Take on the folder, environment, arguments and streams of the process that asked."""
    import torch

    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["arguments"]
    is_module = sys.argv[0] == "-m"
    sys.path[:] = [
        request["folder"] if is_module else os.path.dirname(os.path.abspath(sys.argv[0])),
        *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
        *(path for path in sys.path[1:] if path not in given),
    ]
    importlib.invalidate_caches()
    unbuffered = request["unbuffered"] or bool(os.environ.get("PYTHONUNBUFFERED"))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr, write_through=unbuffered)


def main() -> None:
    server = Server(sys.argv[1])
    for library in LIBRARIES:
        importlib.import_module(library)
    assert {"ray", "triton"}.isdisjoint(sys.modules)
    gc.collect()
    gc.freeze()
    request = server.serve()
    if request is None:
        return
    become(request)
    if sys.argv[0] == "-m":
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return
    program = ModuleType("__main__")
    program.__dict__.update(__file__=sys.argv[0], __builtins__=__builtins__)
    sys.modules["__main__"] = program
    with open(sys.argv[0], "rb") as source:
        exec(compile(source.read(), sys.argv[0], "exec"), program.__dict__)


if __name__ == "__main__":
    main()
