"""A long training whose workers are killed, one a minute: the same bits, and memory that is level.

    python benchmarks/soak.py --minutes 30

MAML on sinusoids: steps are short, so there are as many of them as there can be, and what Ray
keeps of each would show. The run is stopped as by Ctrl-C when the time is over; a second one in a
single process, undisturbed, then does as many steps, and the checkpoints are compared bit for bit.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
from collections import defaultdict
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import psutil
from common import METARAY, Row, has_begun, newest_checkpoint, options, report, rows_of

from metaray.platform.run.status import Status

SETTINGS = [
    "data.name=sinusoid", "train.schedule=constant", "train.validate_every=0",
    "train.checkpoint_every=500", "train.meta_batch_size=8", "train.shard_size=2",
    "evaluate.num_episodes=2", "workers.max_restarts=100000",
]  # fmt: skip
_SAMPLE_S = 5.0
_WARM = 0.2  # of the time, until all is loaded


def start(folder: Path, *settings: str) -> subprocess.Popen[bytes]:
    command = [*METARAY, "train", "--out", str(folder), *options([*SETTINGS, *settings])]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def disturb(run: subprocess.Popen[bytes], folder: Path, seconds: float, every: float) -> Samples:
    """Kill a worker every so often; memory of each process as time goes by."""
    samples, chance = Samples(), Random(0)
    while not has_begun(folder):
        sleep(0.1)
    began = kill_at = monotonic()
    while (now := monotonic()) - began < seconds:
        if run.poll() is not None:
            raise SystemExit(f"the run ended by itself with {run.returncode}: see {folder}")
        samples.take(run.pid, now - began)
        if now - kill_at >= every and (status := Status.read(folder)):
            working = [one.pid for one in status.workers if one.state in ("idle", "busy")]
            if working:
                psutil.Process(chance.choice(working)).kill()
                samples.kills += 1
                kill_at = now
        sleep(_SAMPLE_S)
    return samples


class Samples:
    """Resident memory by what a process is."""

    def __init__(self) -> None:
        self.kills = 0
        self._found: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)

    def take(self, pid: int, at_s: float) -> None:
        driver = psutil.Process(pid)
        for process in [driver, *driver.children(recursive=True)]:
            try:
                name = "driver" if process.pid == pid else _name(process.cmdline())
                self._found[name, process.pid].append((at_s, process.memory_info().rss / 2**20))
            except psutil.Error:
                continue  # it has just ended

    def rows(self, seconds: float) -> list[Row]:
        """Of processes that were there from the start to the end: MB once warm, and at the end."""
        rows = []
        for (name, _), series in sorted(self._found.items()):
            warm = [mb for at, mb in series if at >= _WARM * seconds]
            if series[0][0] > 2 * _SAMPLE_S or series[-1][0] < seconds - 4 * _SAMPLE_S:
                continue
            rows.append({"process": name, "MB warm": warm[0], "MB at the end": warm[-1],
                         "MB at most": max(warm)})  # fmt: skip
        return rows


def _name(words: list[str]) -> str:
    return Path(words[0]).name if not words[0].startswith("ray::") else words[0].split(".")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=60.0, help="seconds between kills")
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes
    with TemporaryDirectory(prefix="soak-") as scratch:
        killed, undisturbed = Path(scratch) / "killed", Path(scratch) / "undisturbed"
        run = start(killed, "workers.count=2", "train.outer_steps=100000000")
        try:
            samples = disturb(run, killed, seconds, arguments.every)
        finally:
            run.send_signal(signal.SIGINT)
            run.wait()
        rows = rows_of(killed)
        steps = rows[-1]["step"]
        start(undisturbed, "workers.count=0", f"train.outer_steps={steps}").wait()
        same = newest_checkpoint(killed) == newest_checkpoint(undisturbed)
        whole = median(row["step_s"] for row in rows)
        slow = sorted(row["step_s"] for row in rows if row["shards_recomputed"])
        report(
            "soak",
            samples.rows(seconds),
            minutes=arguments.minutes,
            steps=steps,
            workers_killed=samples.kills,
            workers_lost=rows[-1]["workers_lost"],
            shards_recomputed=sum(row["shards_recomputed"] for row in rows),
            median_step_ms=1e3 * whole,
            median_step_ms_with_a_loss=1e3 * median(slow) if slow else None,
            longest_step_s=max(row["step_s"] for row in rows),
            same_bits_as_undisturbed=same,
        )
    if not same:
        raise SystemExit("the checkpoints differ")


if __name__ == "__main__":
    main()
