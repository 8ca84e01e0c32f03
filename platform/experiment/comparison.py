"""What a comparison asks of a kind of run. Importing this loads no torch and no Ray."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from pydantic import Field
from typing_extensions import Self

from metaray.algorithms.configs import Section
from metaray.algorithms.errors import InputError
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.tree import Tree

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from metaray.platform.callbacks.callback_list import CallbackList
    from metaray.platform.experiment.session import Session
    from metaray.platform.run.directory import RunDirectory

Config = TypeVar("Config", bound=ExperimentConfig)


class Budget(Section):
    """How much training each run gets. The measures of a run say what it took."""

    unit: Literal["steps", "tasks", "seconds"]
    """outer steps, training tasks, or seconds of training with its validations"""
    amount: float = Field(gt=0)
    """how many"""

    @classmethod
    def of(
        cls, *, steps: int | None = None, tasks: int | None = None, seconds: float | None = None
    ) -> Self:
        """The budget that is given in one of the units.

        Raises:
            InputError: it is given in none of them or in several, or it is not above zero.
        """
        amounts = {"steps": steps, "tasks": tasks, "seconds": seconds}
        given = {unit: amount for unit, amount in amounts.items() if amount is not None}
        if len(given) != 1:
            raise InputError(
                f"a comparison needs one budget for all, got {len(given) or 'none'}: give a number "
                "of steps, of tasks or of seconds"
            )
        ((unit, amount),) = given.items()
        if not amount > 0:
            raise InputError(f"the budget of {unit} is {amount}: give a number above 0")
        return cls.model_validate({"unit": unit, "amount": amount})

    @property
    def text(self) -> str:
        """As a reader would say it."""
        names = {"steps": "outer steps", "tasks": "training tasks", "seconds": "s of training"}
        return f"{self.amount:,.10g} {names[self.unit]}"


class Curves(Section):
    """The shapes at which every trained model is tested again, for the curves."""

    shots: tuple[int, ...]
    """labelled examples per class, at the ways of the comparison"""
    ways: tuple[int, ...]
    """classes, at the shots of the comparison; empty for regression"""
    queries: int = Field(ge=1)
    """examples to predict per class, the same at every shape"""
    episodes: int = Field(ge=2)
    """episodes at each shape"""


class ScoredRun(Protocol):
    """The result of one run as tables, plots and page read it; ``RunRecord`` is one."""

    @property
    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``."""

    @property
    def episodes(self) -> pa.Table:
        """A row for each test episode."""

    @property
    def score_name(self) -> str:
        """The name of the score in every file: ``accuracy`` or ``mse``."""

    @property
    def is_regression(self) -> bool:
        """Whether a lower score is better."""

    @property
    def chance(self) -> float | None:
        """The accuracy of a guess; None for regression."""

    def column(self, key: str) -> NDArray[np.float64]:
        """A metric of every training step; NaN where a step has none."""

    def per_episode(self, key: str) -> NDArray[np.float64] | None:
        """A column of ``episodes``; None where there is none of this name."""


class Comparable(ABC, Generic[Config]):
    """How runs of one kind are compared. A kind without one cannot be compared."""

    left_open: tuple[str, ...] = ()
    """paths of settings that an entry may leave open (null), and then has from the other entries"""

    # Entries

    @abstractmethod
    def named(self, names: str, settings: Tree) -> list[tuple[str, Tree]]:
        """The entries of ``--methods``: the name of each, and what the user has set for it.

        Args:
            names: names with commas in between, or ``all``.
            settings: what all entries have, in nested tables.

        Raises:
            InputError: there is no such name; the nearest one is named.
        """

    @abstractmethod
    def decides_test(self, key: str) -> bool:
        """Whether the setting at this path decides which examples a test has."""

    @abstractmethod
    def with_budget(self, config: Config, budget: Budget) -> Config:
        """``config`` with this much training."""

    @abstractmethod
    def check(self, config: Config) -> Any:
        """The data of an entry, opened; the network is built once to see that it fits.

        Raises:
            InputError: the data is missing or too small, or the network does not fit.
        """

    @abstractmethod
    def curves(
        self,
        config: Config,
        data: Any,
        shots: Sequence[int] | None,
        ways: Sequence[int] | None,
        episodes: int,
    ) -> Curves:
        """The shapes at which trained models are tested again.

        Args:
            config: of any entry.
            data: what ``check`` has opened.
            shots: numbers of shots; None: the usual ones that the data can serve.
            ways: numbers of ways, as ``shots``.
            episodes: test episodes at each shape.

        Raises:
            InputError: the data cannot serve a shape that was asked for.
        """

    @abstractmethod
    def notes(self, configs: Mapping[str, Config]) -> list[str]:
        """What a reader has to know about how these entries differ, a sentence each."""

    # Trained runs

    @abstractmethod
    def measure(self, session: Session, curves: Curves, callbacks: CallbackList) -> dict[str, Any]:
        """What a comparison wants to know of a tested run beside its summary.

        Returns:
            ``adaptation_s``: seconds to adapt to one task; ``episodes_sha256``: the same for runs
            that were tested on the same episodes; ``curve``: a point for each shape, with
            ``ways``, ``shots``, ``queries``, and either ``score``, ``ci95`` and ``num_episodes``
            or the reason why there is none as ``left_out``.

        Raises:
            Stopped: ``callbacks.stop`` was requested.
        """

    @abstractmethod
    def record(self, run: RunDirectory) -> ScoredRun:
        """The result of a run; InputError where it has none or its files are damaged."""

    # Words

    @abstractmethod
    def test_of(self, config: Config) -> dict[str, Any]:
        """What all entries are tested on, for ``summary.json``.

        It has at least ``dataset``, ``ways``, ``shots`` and ``num_episodes``.
        """

    @abstractmethod
    def title(self, config: Config, num_entries: int) -> str:
        """How many entries are compared on what."""

    @abstractmethod
    def limits(self, configs: Mapping[str, Config], curves: Curves) -> list[str]:
        """Which entries the curves show in part only, and why, a sentence each."""
