"""What sweeps need to know of the kind of run that their trials are. No torch, no Ray."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from rich.console import Console

from metaray.platform.callbacks.base import Callback
from metaray.platform.config.loading import Tree
from metaray.tune_spaces.space import Space

Config = TypeVar("Config", bound=BaseModel)
Bar = tuple[str, float, float | None, str]
"""label, accuracy, half-width of its interval, style"""


class Kind(ABC, Generic[Config]):
    """A kind of run: its settings, how one trains and is tested, and the words for it."""

    config_class: type[Config]
    steps_key: str
    """path of the setting that is the length of the training"""
    test_name: str
    """what the test of the best trial is called"""

    @abstractmethod
    def shared(self, settings: Tree) -> Tree:
        """``settings`` of the user, with what all trials of a sweep have unless it is set."""

    @abstractmethod
    def resolve(self, settings: Tree) -> Config:
        """The config of ``settings``; InputError if they are wrong."""

    @abstractmethod
    def check(self, config: Config, metrics: Sequence[str]) -> None:
        """Raise InputError for settings or metrics that would make a sweep worthless."""

    @abstractmethod
    def default_metric(self, config: Config) -> str:
        """What is optimized unless the user says."""

    @abstractmethod
    def space(self, config: Config) -> Space:
        """What is searched unless the user says."""

    @abstractmethod
    def steps(self, config: Config) -> int:
        """The length of the training."""

    @abstractmethod
    def open_data(self, config: Config, address: str) -> None:
        """Prepare the data, once for all trials."""

    @abstractmethod
    def train(
        self, config: Config, folder: Path, callbacks: Iterable[Callback], time_adaptation: bool
    ) -> dict[str, float]:
        """Train in ``folder`` or go on there, without a test; metrics beside the validations.

        Raises:
            InputError, TrainingError, Stopped: as the command that trains such a run.
        """

    @abstractmethod
    def test(self, config: Config, folder: Path, console: Console) -> dict[str, Any]:
        """Test what was trained in ``folder``, and write its report; the summary."""

    @abstractmethod
    def name(self, config: Config) -> str:
        """For the folder of the sweep."""

    @abstractmethod
    def title(self, config: Config) -> str:
        """What is trained, on what."""

    @abstractmethod
    def identity(self, config: Config) -> list[str]:
        """Paths of the settings that decide the defaults of the others."""

    @abstractmethod
    def own_settings(self, config: Config) -> list[str]:
        """Paths of the settings in which ``config`` differs from its defaults."""

    @abstractmethod
    def command(self, config: Config) -> str:
        """The command that trains a run from a file of settings."""

    @abstractmethod
    def full_command(self, config: Config) -> list[str]:
        """The command that trains this run without a file, one argument an item."""

    @abstractmethod
    def validated_on(self, config: Config) -> str:
        """What trials are validated on: ``100 validation episodes``."""

    @abstractmethod
    def told_of_test(self, test: dict[str, Any], num_tested: int) -> str:
        """What was touched by the search and what by the test, in a sentence or more.

        ``num_tested`` is more than one where a sweep ended and went on.
        """

    @abstractmethod
    def bars(self, test: dict[str, Any]) -> list[Bar]:
        """The accuracy of the test, and what it is to be compared with."""
