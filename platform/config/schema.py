"""What the settings of every kind of run share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator
from typing_extensions import Self, override

from metaray.algorithms.configs import (
    Section,
)
from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import absolute
from metaray.platform.config.monitoring import MonitoringConfig
from metaray.platform.config.tree import Tree


class ComputeConfig(Section):
    """Compute resources. Only device, precision and threads affect results."""

    count: int = Field(2, ge=0, le=10_000)
    """Ray worker actors; 0 computes in this process, without Ray"""
    cpus: float = Field(1.0, ge=0)
    """CPUs each worker reserves"""
    gpus: float = Field(0.0, ge=0)
    """GPUs each worker reserves; may be a fraction"""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    """auto takes a GPU where workers have one"""
    precision: Literal["float64", "float32", "tf32", "bfloat16"] = "float32"
    """tf32 multiplies with 10 bits of mantissa on a CUDA device; bfloat16 computes layers in
    bfloat16; both keep parameters in float32"""
    cuda_graphs: bool = True
    """on a CUDA device, meta-training records the kernels of a shard once and starts them together:
    the same bits, faster; false needs less memory"""
    threads: int = Field(1, ge=1, le=1_024)
    """CPU threads of each worker; part of the result, as it changes the order of sums"""
    max_restarts: int = Field(20, ge=0)
    """lost workers replaced in one run before it gives up"""
    start_timeout_s: float = Field(120.0, gt=0)
    """how long to wait for a first worker, and for Ray itself"""
    stall_timeout_s: float | None = Field(None, gt=0)
    """seconds without an answer after which a worker or the learner is replaced, as if it had died;
    by default 20 times the median step of the run, and at least 60"""

    @property
    def fewest(self) -> int:
        """Workers that must have room before a run starts; the others may join later."""
        return 1

    @model_validator(mode="after")
    def _in_use(self) -> Self:
        if self.gpus > 0 and self.device == "cpu":
            raise InputError(
                "workers.gpus reserves GPUs, but workers.device = 'cpu' leaves them idle"
            )
        return self


class InitConfig(Section):
    """Where the network starts."""

    checkpoint: str | None = None
    """a run of ours, of meta-training or transfer (a folder, or one of its checkpoints), whose
    encoder the network starts from; random unless set"""

    @field_validator("checkpoint")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return None if path is None else absolute(path)


class ExperimentConfig(Section, ABC):
    """What the settings of every kind of experiment have; each lists them in its own order."""

    kind: ClassVar[str]
    """name of the kind: in status.json, for Prometheus, in the registry of experiments"""
    section: ClassVar[str]
    """the section that only this kind has; its ``name`` says what trains the network"""
    places: ClassVar[tuple[str, ...]]
    """paths of the settings that say where data lies, and so decide no result"""
    inputs: ClassVar[tuple[str, ...]]
    """paths of the settings that name a file or a folder to read"""

    if TYPE_CHECKING:
        seed: int
        data: Any
        model: Any
        init: InitConfig
        train: Any
        workers: ComputeConfig
        evaluate: Any
        monitoring: MonitoringConfig

    before_it_was_there: ClassVar[Mapping[str, Any]] = {}
    """values by path that a ``config.json`` of an older version means where it leaves them out"""

    in_command: ClassVar[tuple[str, ...]] = ()
    """paths of the settings that ``command`` gives"""

    _given: frozenset[str] | None = PrivateAttr(None)

    @property
    def given(self) -> frozenset[str] | None:
        """Paths of the settings that the user has set; None where this is not known any more."""
        return self._given

    @override
    def __eq__(self, other: object) -> bool:
        """Whether all settings are the same; who has set them makes no difference."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    @override
    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @classmethod
    @abstractmethod
    def defaults(cls, user: Tree) -> Mapping[str, Any]:
        """Values by path for what ``user`` leaves open, where a recipe differs from the classes."""

    @property
    @abstractmethod
    def identity(self) -> list[str]:
        """Paths of the settings that decide the defaults of the others."""

    @property
    @abstractmethod
    def command(self) -> str:
        """The command that trains such a run."""

    @property
    def without_effect(self) -> tuple[str, ...]:
        """Paths of the settings that another setting makes void."""
        return ()

    def check_given(self, keys: Collection[str]) -> None:
        """Raise InputError where one of ``keys``, which the user has set, can have no effect."""
