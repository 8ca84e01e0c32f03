"""What ``metaray train``, ``metaray transfer`` and ``metaray evaluate`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.config.request import Request, argument, option

if TYPE_CHECKING:
    from metaray.platform.config.schema import RunConfig
    from metaray.platform.config.transfer import TransferConfig

_SET = "Set one setting, as often as you like: --set seed=1. Wins over the file."


@dataclass(frozen=True, kw_only=True)
class TrainRequest(Request):
    """A new meta-training, or one to go on with."""

    command: ClassVar[str] = "train"
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

    def settings(self) -> RunConfig:
        """The config of the new run.

        Raises:
            InputError: a setting is unknown or wrong.
        """
        from metaray.platform.experiment.meta import META

        return META.load(self.config, self.overrides or [])


@dataclass(frozen=True, kw_only=True)
class TransferRequest(TrainRequest):
    """A new transfer job, or one to go on with."""

    command: ClassVar[str] = "transfer"
    job: str
    """its name"""

    @property
    @override
    def names(self) -> list[str]:
        return [self.command, self.job]

    def transfer_settings(self) -> TransferConfig:
        """The config of the new job; InputError as ``settings``."""
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
