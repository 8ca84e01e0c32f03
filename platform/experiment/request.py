"""What ``metaray train``, ``metaray transfer`` and ``metaray evaluate`` can be asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.config.request import Nodes, Request, argument, option

if TYPE_CHECKING:
    from metaray.platform.config.schema import ExperimentConfig

_SET = "Set one setting, as often as you like: --set seed=1. Wins over the file."


@dataclass(frozen=True, kw_only=True)
class RunRequest(Request, ABC):
    """A new run of some kind, or one to continue."""

    config: Path | None = argument(
        "Settings in TOML. What it leaves open has its default.", role="config"
    )
    overrides: list[str] | None = option(_SET, "--set", metavar="KEY=VALUE", when_resuming=True)
    out: str | None = option(
        "New folder for the run, or s3://, gs:// or file:// URI [$METARAY_RUNS or runs, then a "
        "name with the time].",
        "--out",
        metavar="PLACE",
        role="new run",
    )
    resume: str | None = option(
        "Run to continue from its last checkpoint.",
        "--resume",
        metavar="PLACE",
        role="earlier run",
    )

    @property
    @abstractmethod
    def title(self) -> str:
        """What the training is called while it runs."""

    def settings(self) -> ExperimentConfig:
        """The config of the new run.

        Raises:
            InputError: a setting is unknown or wrong.
        """
        from metaray.platform.experiment.registry import EXPERIMENTS

        config: ExperimentConfig = EXPERIMENTS[self.command].load(self.config, self._overrides())
        return config

    @override
    def check(self, nodes: Nodes) -> Iterator[str]:
        from metaray.platform.callbacks.monitored import check_callbacks
        from metaray.platform.distributed.resources import workers_notes

        settings = self.settings()
        check_callbacks(settings.monitoring)
        yield from workers_notes(settings.workers, nodes)

    def _overrides(self) -> list[str]:
        return self.overrides or []


@dataclass(frozen=True, kw_only=True)
class TrainRequest(RunRequest):
    """A new meta-training, or one to continue."""

    command: ClassVar[str] = "train"

    @property
    @override
    def title(self) -> str:
        return "meta-training"


@dataclass(frozen=True, kw_only=True)
class TransferRequest(RunRequest):
    """A new transfer job, or one to continue."""

    command: ClassVar[str] = "transfer"
    subcommand: ClassVar[str] = "job"
    job: str
    """its name"""

    @property
    @override
    def title(self) -> str:
        return self.job

    @override
    def settings(self) -> ExperimentConfig:
        config: Any = super().settings()
        if config.job.name != self.job:
            raise InputError(f"job.name = {config.job.name!r} is not {self.job}: leave it out")
        return config  # type: ignore[no-any-return]

    @override
    def _overrides(self) -> list[str]:
        return [f"job.name={self.job}", *(self.overrides or [])]


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest(Request):
    """Another meta-test of a run."""

    command: ClassVar[str] = "evaluate"
    run_dir: str = argument("Run: a folder or a URI.", role="earlier run", required=True)
    overrides: list[str] | None = option(_SET, "--set", metavar="KEY=VALUE")


REQUESTS: tuple[type[Request], ...] = (TrainRequest, TransferRequest, EvaluateRequest)
"""all that can be asked for about one run"""
