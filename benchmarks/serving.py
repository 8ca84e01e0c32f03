"""Requests to a served model: how many a second, and how long they take.

    python benchmarks/serving.py

ProtoNet with the network of its Omniglot recipe on 28 pixels, a task with 5 classes and 1 shot,
requests with one drawing each, from 1, 8 and 32 clients at once, at 1 and 2 replicas; server and
clients share the cores of this machine.
"""

from __future__ import annotations

import argparse
import io
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import METARAY, Row, report
from PIL import Image

from metaray.platform.serve.client import Client

CLIENTS = (1, 8, 32)
REPLICAS = (1, 2)


def drawing(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (105, 105), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def asked(url: str, token: str, until: float) -> list[float]:
    """The times of one client's requests, which it makes one after another."""
    client, content, times = Client(url, token), drawing(99), list[float]()
    while time.perf_counter() < until:
        started = time.perf_counter()
        client.predict("task", [content])
        times.append(time.perf_counter() - started)
    return times


def measured(run: Path, state: Path, replicas: int, seconds: float) -> list[Row]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    words = ["serve", str(run), "--state", str(state), "--replicas", str(replicas)]
    began = time.perf_counter()
    process = subprocess.Popen([*METARAY, *words, "--port", str(port)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        if b"Ctrl-C ends" in line:
            break
    started_s = time.perf_counter() - began
    token = (state / "token").read_text().strip()
    client = Client(url, token)
    if "task" not in client.tasks():
        client.register("task", [drawing(k) for k in range(5)], list("abcde"))
    rows = []
    try:
        for clients in CLIENTS:
            asked(url, token, time.perf_counter() + 2.0)
            until = time.perf_counter() + seconds
            with ThreadPoolExecutor(clients) as pool:
                jobs = [pool.submit(asked, url, token, until) for _ in range(clients)]
                parts = [job.result() for job in jobs]
            times = np.concatenate(parts)
            rows.append(
                {
                    "replicas": replicas,
                    "clients": clients,
                    "requests/s": round(len(times) / seconds, 1),
                    "p50 (ms)": round(1000 * float(np.quantile(times, 0.5)), 1),
                    "p99 (ms)": round(1000 * float(np.quantile(times, 0.99)), 1),
                    "start (s)": round(started_s, 1),
                }
            )
    finally:
        process.terminate()
        process.wait(60)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each number of clients")
    seconds = parser.parse_args().seconds
    with TemporaryDirectory() as folder:
        run, state = Path(folder) / "run", Path(folder) / "state"
        train = ["train", "--out", str(run), "--set", "method.name=protonet"]
        for setting in ("train.outer_steps=2", "data.num_classes=200", "workers.count=0",
                        "evaluate.num_episodes=4", f"data.cache={folder}/cache"):  # fmt: skip
            train += ["--set", setting]
        subprocess.run([*METARAY, *train], check=True, stdout=subprocess.DEVNULL)
        rows = [row for n in REPLICAS for row in measured(run, state, n, seconds)]
    report("serving", rows, seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
