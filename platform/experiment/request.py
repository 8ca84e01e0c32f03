"""What ``metaray train``, ``metaray transfer`` and ``metaray evaluate`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.config.request import Request, argument, option

if TYPE_CHECKING:
    from metaray.platform.config.schema import ExperimentConfig, RunConfig
    from metaray.platform.config.transfer import TransferConfig

_SET = "Set one setting, as often as you like: --set seed=1. Wins over the file."


@dataclass(frozen=True, kw_only=True)
class RunRequest(Request):
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

    def settings(self) -> ExperimentConfig:
        """The config of the new run.

        Raises:
            InputError: a setting is unknown or wrong.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TrainRequest(RunRequest):
    """A new meta-training, or one to continue."""

    command: ClassVar[str] = "train"

    @override
    def settings(self) -> RunConfig:
        from metaray.platform.experiment.meta import META

        return META.load(self.config, self.overrides or [])


@dataclass(frozen=True, kw_only=True)
class TransferRequest(RunRequest):
    """A new transfer job, or one to continue."""

    command: ClassVar[str] = "transfer"
    subcommand: ClassVar[str] = "job"
    job: str
    """its name"""

    @override
    def settings(self) -> TransferConfig:
        from metaray.platform.experiment.transfer import TRANSFER

        overrides = [f"job.name={self.job}", *(self.overrides or [])]
        config = TRANSFER.load(self.config, overrides)
        if config.job.name != self.job:
            raise InputError(f"job.name = {config.job.name!r} is not {self.job}: leave it out")
        return config


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest(Request):
    """Another meta-test of a run."""

    command: ClassVar[str] = "evaluate"
    run_dir: str = argument("Run: a folder or a URI.", role="earlier run", required=True)
    overrides: list[str] | None = option(_SET, "--set", metavar="KEY=VALUE")


REQUESTS: tuple[type[Request], ...] = (TrainRequest, TransferRequest, EvaluateRequest)
"""all that can be asked for about one run"""
