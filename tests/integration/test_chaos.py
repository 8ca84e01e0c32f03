"""Three machines at random: killed, stopped, disconnected. The run ends with the same bits.

``METARAY_CHAOS_S`` is for how many seconds it is disturbed (1,200 for the long one), and
``METARAY_CHAOS_SEED`` repeats the choices that a failure names.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
import pytest
from conftest import COMMAND, Command, arguments, summary_of  # type: ignore[attr-defined]
from machines import Machines, are_possible, machines
from runs import rows_of, steps_of

SECONDS = float(os.environ.get("METARAY_CHAOS_S", "200"))
SEED = int(os.environ.get("METARAY_CHAOS_SEED", secrets.randbelow(10**6)))
PATIENCE_S = 240.0
"""for steps after all disturbances are over"""
VALIDATE = 25
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(5 * SECONDS + 900),
    pytest.mark.skipif(not are_possible(), reason="only root may make network namespaces"),
]
SETS = [
    # its gradient is too large to travel with the answer of a worker, so nodes keep it
    "model.width=32", "method.inner_steps=1", "train.schedule=constant",
    f"train.validate_every={VALIDATE}", "train.checkpoint_every=10",
]  # fmt: skip
ON_RAY = [
    "train.outer_steps=1000000", "workers.count=3", "workers.stall_timeout_s=6",
    "workers.max_restarts=100000", "workers.start_timeout_s=240",
]  # fmt: skip


@dataclass
class Chaos:
    """Disturbs a run; what it does is all that ``chance`` decides."""

    there: Machines
    folder: Path
    begin_words: list[str]
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    said: list[str] = field(default_factory=list)
    """what was done, and when"""
    began_s: float = field(default_factory=monotonic)
    _due: list[tuple[float, str, Callable[[], None]]] = field(default_factory=list)
    _most_steps: int = 0

    def __post_init__(self) -> None:
        self.driver = self._drive(self.begin_words)

    def disturb(self) -> None:
        """One disturbance, whose end comes by itself."""
        choices = (
            self._kill_process, self._kill_process, self._stop_process, self._stop_process,
            self._kill_machine, self._stop_machine, self._disconnect, self._disconnect,
            self._kill_driver, self._stop_driver,
        )  # fmt: skip
        self.chance.choice(choices)()

    def go_on(self, for_s: float) -> None:
        """Let the run be, but for disturbances that end and nodes that have ended."""
        deadline = monotonic() + for_s
        while True:
            for item in sorted(self._due, key=lambda item: item[0]):
                if item[0] <= monotonic():
                    self._due.remove(item)
                    self._say(item[1])
                    item[2]()
            self._begin_lost_nodes()
            code = self.driver.poll()
            assert code is None, f"the run ended with exit code {code}"
            if monotonic() >= deadline:
                return
            sleep(0.1)

    def wait_for_steps(self, count: int) -> None:
        """Until all is over and so many steps are done that were not done before."""
        wanted = max(self._most_steps, steps_of(self.folder)) + count
        deadline = monotonic() + PATIENCE_S
        while self._due or steps_of(self.folder) < wanted:
            self.go_on(0.2)
            if self._due:
                deadline = monotonic() + PATIENCE_S
            assert monotonic() < deadline, f"no step {wanted} came: {steps_of(self.folder)}"
        self._most_steps = steps_of(self.folder)

    def finish(self) -> int:
        """Stop the run, and let it end soon after; the number of its steps."""
        self.driver.send_signal(signal.SIGINT)
        assert self.driver.wait(120) == 130
        steps = VALIDATE * (2 + steps_of(self.folder) // VALIDATE)
        self.driver = self._resume(f"train.outer_steps={steps}")
        assert self.driver.wait(PATIENCE_S) == 0
        return steps

    def _kill_process(self) -> None:
        found = self._process_of_run()
        if found is not None:
            self._say(f"kill {_name(found)}")
            _send([found], signal.SIGKILL)

    def _stop_process(self) -> None:
        found = self._process_of_run()
        if found is not None:
            self._stop(_name(found), [found])

    def _kill_machine(self) -> None:
        machine = self.chance.choice(self.there.others)
        self._say(f"{machine.name} loses its power")
        machine.end()  # ``_begin_lost_nodes`` begins it again

    def _stop_machine(self) -> None:
        machine = self.chance.choice(self.there.others)
        word = self.chance.choice(["", "raylet/raylet"])
        self._stop(f"{machine.name} {word}", machine.processes(word))

    def _disconnect(self) -> None:
        machine = self.chance.choice([*self.there.others, self.there.head])
        self._say(f"disconnect {machine.name}")
        machine.disconnect()
        self._later(f"connect {machine.name}", machine.connect)

    def _kill_driver(self) -> None:
        self._say("kill the driver")
        self.driver.kill()
        self.driver.wait()
        self.driver = self._resume()

    def _stop_driver(self) -> None:
        self._stop("the driver", [psutil.Process(self.driver.pid)])

    def _process_of_run(self) -> psutil.Process | None:
        """A worker, or one time in three the learner."""
        word = self.chance.choice(["ray::WorkerActor", "ray::WorkerActor", "ray::LearnerActor"])
        everywhere = [self.there.head, *self.there.others]
        found = [one for machine in everywhere for one in machine.processes(word)]
        return self.chance.choice(found) if found else None

    def _stop(self, name: str, processes: list[psutil.Process]) -> None:
        self._say(f"stop {name}")
        _send(processes, signal.SIGSTOP)
        self._later(f"continue {name}", lambda: _send(processes, signal.SIGCONT))

    def _later(self, text: str, action: Callable[[], None]) -> None:
        after_s = self.chance.uniform(*self.chance.choice([(0.2, 3.0), (3.0, 8.0), (8.0, 20.0)]))
        self._due.append((monotonic() + after_s, text, action))

    def _begin_lost_nodes(self) -> None:
        for machine in self.there.others:
            if machine.node is None or machine.node.poll() is not None:
                self._say(f"a new node on {machine.name}")
                machine.end()
                self.there.begin(machine)

    def _resume(self, *sets: str) -> subprocess.Popen[bytes]:
        return self._drive(["train", "--resume", str(self.folder), *arguments([*sets])])

    def _drive(self, words: list[str]) -> subprocess.Popen[bytes]:
        command = self.there.command(*COMMAND, *words, "--address", self.there.address)
        with self.folder.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(command, env=self.there.environment, stdout=log, stderr=log)

    def _say(self, text: str) -> None:
        self.said.append(f"{monotonic() - self.began_s:7.1f} s  {text}")


@contextmanager
def naming_seed(chaos: Chaos) -> Iterator[None]:
    """What a failure needs, to be understood and repeated."""
    try:
        yield
    except BaseException as error:
        log = chaos.folder.with_suffix(".log").read_text(errors="replace")
        said = "\n".join(chaos.said)
        raise AssertionError(
            f"METARAY_CHAOS_SEED={SEED}: {error}\n{said}\nthe run said:\n{log[-6000:]}"
        ) from error
    finally:
        chaos.driver.kill()
        chaos.driver.wait()


def test_chaos_changes_nothing(
    metaray: Command, environment: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    sets = [*tiny, *SETS]
    words = ["train", "--out", str(folder), *arguments([*sets, *ON_RAY])]
    with machines(environment, 3) as there:
        chaos = Chaos(there, folder, words)
        with naming_seed(chaos):
            chaos.wait_for_steps(5)
            deadline = monotonic() + SECONDS
            while monotonic() < deadline:
                for _ in range(chaos.chance.choice([1, 1, 2, 3])):
                    chaos.disturb()
                    chaos.go_on(chaos.chance.uniform(0.0, 3.0))
                chaos.wait_for_steps(chaos.chance.randint(1, 20))
            steps = chaos.finish()
            _compare(metaray, folder, tmp_path / "alone", [*sets, f"train.outer_steps={steps}"])


def _compare(metaray: Command, folder: Path, alone: Path, sets: list[str]) -> None:
    """With the same run in this process, which was not disturbed."""
    assert metaray("train", "--out", alone, *arguments(sets)).returncode == 0
    assert _steps_of_log(folder) == _steps_of_log(alone)
    found, expected = summary_of(folder), summary_of(alone)
    for key in ("params_sha256", "tested_step", "accuracy", "val_accuracy"):
        assert found[key] == expected[key], key


def _steps_of_log(folder: Path) -> list[tuple[Any, ...]]:
    """Each step once, in turn, with what must not differ."""
    names = ("step", "loss", "accuracy", "grad_norm", "val_loss", "val_accuracy")
    return [tuple(row.get(name) for name in names) for row in rows_of(folder)]


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"{process.cmdline()[0]} ({process.pid})"
    return str(process.pid)


def _send(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)
