"""Seconds from ``metaray submit`` to the first outer step, on the cluster of this machine.

    metaray cluster up
    python benchmarks/submit.py --repeats 5

Beside it, the parts: until the job was accepted, until the job wrote its settings, until the
first line of its log of steps. The training is small, and its data is prepared beforehand.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import subprocess
import sys
from time import sleep, time

from common import METARAY, has_begun, options

from metaray.cluster.home import home
from metaray.cluster.jobs import JobClient
from metaray.cluster.local_cluster import running_cluster

SETTINGS = [
    "data.num_classes=200", "data.image_size=16", "model.width=8", "train.outer_steps=2",
    "train.meta_batch_size=4", "train.validate_every=0", "evaluate.num_episodes=4",
    "workers.count=1",
]  # fmt: skip


def once(client: JobClient) -> tuple[float, float, float]:
    """Accepted, settings written, first step: seconds since the command was given."""
    name = f"time-{secrets.token_hex(4)}"
    run = home() / "runs" / name
    begun = time()
    command = [*METARAY, "submit", "--name", name, "--", "train", *options(SETTINGS)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not has_begun(run):
            sleep(0.02)
        first_step = time()
        process.wait()
    job = client.wait(name)
    accepted = job.begun
    assert accepted is not None
    configured = (run / "config.json").stat().st_mtime
    return accepted - begun, configured - begun, first_step - begun


def main() -> None:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    cluster = running_cluster()
    if cluster is None:
        sys.exit("no cluster of this machine is up: metaray cluster up")
    client = JobClient(cluster.dashboard)
    rows = [once(client) for _ in range(1 + repeats)][1:]  # the first prepares data
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for what, values in zip(
        ("accepted", "settings written", "first step"), zip(*rows, strict=True), strict=True
    ):
        shown = ", ".join(f"{value:.1f}" for value in values)
        print(f"{what}: median {statistics.median(values):.1f} s ({shown})")


if __name__ == "__main__":
    main()
