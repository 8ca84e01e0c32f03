"""Lets the fork server of the tests run the program of this process: see ``fork_server``.

A worker of Ray, and a command or page where the tests ask for it, sends its arguments, environment,
folder and standard streams. Then it waits for the fork: it passes signals on, and ends with the
fork's exit status. If other properties of the process differ from the server's (limits, namespaces,
the interpreter), it runs its program itself.
"""

from __future__ import annotations

import os
import sys

SOCKET = "METARAY_TEST_FORK_SERVER"
"""environment variable: path of the server's socket. Without it nothing is handed over."""
COMMANDS = "METARAY_TEST_FORK_COMMANDS"
"""environment variable: whether ``python -m metaray`` and ``python page.py`` are handed over too"""
_WORKERS = ("/ray/_private/workers/setup_worker.py", "/ray/_private/workers/default_worker.py")
_HANDED_OVER = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONBREAKPOINT")
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_PASSED_ON = ("SIGCONT", "SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2")


def surroundings() -> list[object]:
    """Properties that a fork inherits from the server, and a new process from its parent."""
    import resource

    limits = [name for name in sorted(vars(resource)) if name.startswith("RLIMIT_")]
    interpreter = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PYTHON") and name not in _HANDED_OVER
    }
    with open("/proc/self/cgroup", encoding="utf-8") as cgroup:
        return [
            sys.executable,
            interpreter,
            cgroup.read(),
            [os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES],
            [list(resource.getrlimit(getattr(resource, name))) for name in limits],
            sorted(os.sched_getaffinity(0)),
            os.getuid(),
            os.nice(0),
        ]


def hand_over() -> None:
    """Run the program in a fork and exit; returns if this process must run it itself."""
    path = os.environ.get(SOCKET)
    words = sys.orig_argv[1:]
    unbuffered = words[:1] == ["-u"]
    words = words[unbuffered:]
    if not path or not _is_handed_over(words):
        return
    import json
    import socket

    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    request = {
        "arguments": words, "unbuffered": unbuffered, "environment": dict(os.environ),
        "folder": os.getcwd(), "surroundings": surroundings(), "process": os.getpid(),
    }  # fmt: skip
    body = json.dumps(request).encode()
    try:
        server.connect(path)
        socket.send_fds(server, [len(body).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(body)
    except OSError:  # the server has ended
        return
    with server.makefile("rb") as answers:
        fork = answers.readline()
        if not fork:
            return
        _pass_signals_to(int(fork))
        _end_with(int(answers.readline() or 1 << 8))


def _is_handed_over(words: list[str]) -> bool:
    if not words or words[0].endswith(_WORKERS):
        return bool(words)
    if not os.environ.get(COMMANDS):
        return False
    return words[:2] == ["-m", "metaray"] or os.path.basename(words[0]) == "page.py"


def _pass_signals_to(fork: int) -> None:
    import signal
    from contextlib import suppress

    def pass_on(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(fork, number)

    for name in _PASSED_ON:
        signal.signal(getattr(signal, name), pass_on)


def _end_with(status: int) -> None:
    import signal

    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))
