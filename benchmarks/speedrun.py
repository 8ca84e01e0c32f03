"""Omniglot speedrun: seconds of training until a test accuracy is reached, 5-way 1-shot.

    python benchmarks/speedrun.py                       # each entry, on this machine
    python benchmarks/speedrun.py protonet-quick --seconds 300
    python benchmarks/speedrun.py --replay benchmarks/results/speedrun/LOG.jsonl

The rules, so that figures of different machines and methods can be compared:

* Data: Omniglot's Vinyals split. Training sees its training classes alone, turned as it likes.
* Test: episodes 0 to 599 of the 1,692 test classes (423 characters at four quarter turns), with 15
  queries a class, the same for all, as the papers of MAML and ProtoNet test.
  A mark is reached at the first test whose mean accuracy is at least the mark. Inductive entries
  predict each query by itself; transductive ones may use the other queries of the task.
* Clock: wall time of training in one process from its first step, sampling and the recording of
  graphs included; preparing the data, starting the process and tests are not. Between two
  tests the clock advances by a tenth.
* Config: fixed in ``ENTRIES`` before the run. ``--set`` takes settings of ``workers`` alone,
  which say where and how it is computed.

Each run writes a log: settings, versions and machine, then a line for each test, with a hash of
the parameters. ``--replay`` trains again for as many steps and compares the hash of each test: on
the same kind of machine all are equal.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time

import torch
from common import RESULTS, Row, machine, omniglot_settings, report

from metaray.platform.common.versions import versions
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta import META
from metaray.platform.run.checkpoint import params_sha256
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.messages import train_requests
from metaray.platform.training.meta.pool import LocalPool

MARKS = (0.95, 0.97, 0.98, 0.987)
LOGS = RESULTS / "speedrun"
EPISODES = 600
BETWEEN = 1.1  # tests lie this factor of the clock apart

_QUICK = ["data.rotations=train", "train.schedule=cosine", "task.train_queries=5"]
_QUICK_MAML = [*_QUICK, "train.meta_lr=5e-3", "train.shard_size=32"]

# the published settings, and others that need less time
ENTRIES: dict[str, list[str]] = {
    "protonet": ["method.name=protonet"],
    "protonet-quick": [
        "method.name=protonet",
        *_QUICK,
        "train.meta_lr=2e-3",
        "train.outer_steps=5000",
    ],
    "maml": ["method.name=maml", "train.shard_size=32"],
    "maml-quick": [
        "method.name=maml",
        *_QUICK_MAML,
        "method.inner_lr=1.0",
        "train.outer_steps=6000",
    ],
    "metasgd-quick": [
        "method.name=metasgd",
        *_QUICK_MAML,
        "model.name=conv4",
        "train.meta_batch_size=16",
        "train.outer_steps=4500",
    ],
    "protomaml-quick": [
        "method.name=protomaml",
        *_QUICK,
        "model.name=conv4",
        "train.meta_lr=2e-3",
        "method.inner_steps=3",
        "train.meta_batch_size=16",
        "train.shard_size=16",
        "train.outer_steps=3500",
    ],
}


def config_of(entry: str, data: Sequence[str], more: Sequence[str]) -> RunConfig:
    fixed = ["data.image_size=28", "evaluate.rotations=classes", "evaluate.shard_size=100"]
    settings = [*ENTRIES[entry], *fixed, *data, "workers.count=0", *more]
    return META.load(None, settings)


def train(config: RunConfig, seconds: float, first_test: float) -> Iterator[Row]:
    """A line for each test, until all marks are reached or the time or the schedule ends."""
    next_test, reached = first_test, 0.0
    for line in _timed(config):
        ends = line["step"] == config.train.outer_steps or line["train_s"] >= seconds
        if line["train_s"] >= next_test or ends:
            line |= line["test"]()
            next_test, reached = line["train_s"] * BETWEEN, max(reached, line["accuracy"])
            yield line
            if ends or reached >= MARKS[-1]:
                return


def replay(config: RunConfig, log: Sequence[Row]) -> Iterator[Row]:
    """The lines of ``log`` again: at the same steps."""
    wanted = {line["step"] for line in log}
    for line in _timed(config):
        if line["step"] in wanted:
            yield line | line["test"]()
        if line["step"] == max(wanted):
            return


def _timed(config: RunConfig) -> Iterator[Row]:
    """Each outer step: its number, the clock after it, and a function that tests."""
    pool, blueprint = LocalPool(Blueprint.open(config)), Blueprint.open(config)

    def test() -> Row:
        found = evaluate(pool, blueprint, "test", EPISODES).headline()
        return {
            "accuracy": found["accuracy"],
            "ci95": found["ci95"],
            "params_sha256": params_sha256(pool.snapshot()),
        }

    train_s, cpu_s = 0.0, 0.0
    for step in range(config.train.outer_steps):
        started, cpu = perf_counter(), process_time()
        pool.train_step(train_requests(step, config.train))
        train_s += perf_counter() - started
        cpu_s += process_time() - cpu
        yield {"step": step + 1, "train_s": train_s, "cpu_s": cpu_s, "test": test}


def run(entry: str, config: RunConfig, seconds: float, first_test: float, log: Path) -> Row:
    """Train, write the log, and give the entry's row of the table."""
    header = {
        "entry": entry,
        "device": hardware(config),
        "machine": machine(),
        "versions": versions(),
        "settings": config.model_dump(mode="json", exclude={"data": {"root", "cache"}}),
    }
    lines = []
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        print(json.dumps(header), file=file)
        for line in train(config, seconds, first_test):
            lines.append({name: value for name, value in line.items() if name != "test"})
            print(json.dumps(lines[-1]), file=file, flush=True)
            print(
                f"{entry}: step {line['step']:,}, {line['train_s']:.1f} s, "
                f"{100 * line['accuracy']:.2f} %",
                flush=True,
            )
    return row_of(header, lines)


def row_of(header: Row, lines: Sequence[Row]) -> Row:
    marks = {}
    for mark in MARKS:
        at = next((line["train_s"] for line in lines if line["accuracy"] >= mark), None)
        marks[f"s to {100 * mark:g} %"] = "-" if at is None else round(at, 1)
    best = max(lines, key=lambda line: line["accuracy"])
    return {
        "entry": header["entry"],
        "batch norm": header["settings"]["evaluate"]["batch_norm"],
        "device": header["device"],
        "precision": header["settings"]["workers"]["precision"],
        **marks,
        "best %": round(100 * best["accuracy"], 2),
        "±": round(100 * best["ci95"], 2),
        "steps": lines[-1]["step"],
        "train s": round(lines[-1]["train_s"], 1),
        "CPU s": round(lines[-1]["cpu_s"], 1),
    }


def hardware(config: RunConfig) -> str:
    if config.workers.device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = config.workers.threads
    return f"CPU, {threads} thread{'s' * (threads != 1)}"


def compare(log: Path, data: Sequence[str]) -> None:
    """Train again what ``log`` says, and print each test beside it."""
    header, *lines = (json.loads(line) for line in log.read_text().splitlines())
    workers = header["settings"]["workers"]
    more = [f"workers.{name}={workers[name]}" for name in ("precision", "threads", "device")]
    config = config_of(header["entry"], data, more)
    different = 0
    for was, now in zip(lines, replay(config, lines), strict=True):
        same = was["params_sha256"] == now["params_sha256"]
        different += not same
        print(
            f"step {was['step']:,}: {100 * was['accuracy']:.2f} %, again "
            f"{100 * now['accuracy']:.2f} %{'' if same else ', other parameters'}",
            flush=True,
        )
    if different:
        raise SystemExit(f"{different} of {len(lines)} tests have other parameters than the log")
    print("every test has the parameters of the log")


def data_settings(cache: str | None) -> list[str]:
    if cache is None:
        return omniglot_settings("vinyals")
    return ["data.name=omniglot", "data.split=vinyals", f"data.cache={cache}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("entries", nargs="*", help=f"of {', '.join(ENTRIES)} [all]")
    parser.add_argument("--cache", help="data.cache of a run on Omniglot, where the data is not")
    parser.add_argument("--seconds", type=float, default=600, help="of training, at most")
    parser.add_argument("--first-test", type=float, default=2, help="seconds of training before it")
    parser.add_argument("--set", nargs="*", default=[], help="workers.* settings")
    parser.add_argument("--replay", type=Path, help="a log to train again and compare")
    arguments = parser.parse_args()
    data = data_settings(arguments.cache)
    if arguments.replay:
        compare(arguments.replay, data)
        return
    if any(not setting.startswith("workers.") for setting in arguments.set):
        parser.error("--set takes settings of workers alone: entries are fixed")
    unknown = set(arguments.entries) - set(ENTRIES)
    if unknown:
        parser.error(f"no entry {', '.join(sorted(unknown))}; there are {', '.join(ENTRIES)}")
    rows = []
    for entry in arguments.entries or ENTRIES:
        config = config_of(entry, data, arguments.set)
        name = f"{entry}-{hardware(config)}".replace(", ", "-").replace(" ", "-")
        log = LOGS / f"{name}.jsonl"
        rows.append(run(entry, config, arguments.seconds, arguments.first_test, log))
    report("speedrun", rows)


if __name__ == "__main__":
    main()
