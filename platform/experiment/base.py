"""What an experiment is: settings, data, training, test and result of one kind of run.

Importing this and the experiments themselves loads no torch and no Ray: they are imported when a
run is prepared or opened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config import loading
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.tree import Tree, get, merged
from metaray.platform.run.directory import RunDirectory
from metaray.tune_spaces.space import Space

if TYPE_CHECKING:
    from rich.text import Text

    from metaray.platform.experiment.comparison import Comparable
    from metaray.platform.experiment.session import Prepared, Session
    from metaray.platform.inference.export import Task
    from metaray.platform.inference.learner import Learner

Config = TypeVar("Config", bound=ExperimentConfig)
Bar = tuple[str, float, float | None, str]
"""label, accuracy, half-width of its interval, style"""


class Experiment(ABC, Generic[Config]):
    """A kind of run. Commands, sweeps, comparisons and jobs work with any of them.

    A kind has a config class and a ``Session`` (``experiment/session.py``), and stands in
    ``experiment/registry.py``. ``experiment/runner.py`` trains, resumes and evaluates its runs.

    Example:
        >>> from metaray.platform.experiment.registry import EXPERIMENTS, experiment_of
        >>> experiment = EXPERIMENTS["train"]
        >>> config = experiment.load(overrides=["method.name=anil", "task.shots=5"])
        >>> experiment.title(config)
        'ANIL on glyphs, 5-way 5-shot'
        >>> config.command
        'metaray train'
        >>> experiment_of(config) is experiment
        True
    """

    config_class: type[Config]
    """its settings, which have the name of the kind"""
    steps_key: ClassVar[str]
    """path of the setting that is the length of the training"""
    step_name: ClassVar[str]
    """what a step is called"""
    test_name: ClassVar[str]
    """what the test is called"""
    plural: ClassVar[str]
    """what several of its runs are called"""
    scales: ClassVar[bool] = False
    """whether ``metaray scale`` can change the number of workers while a run trains"""

    @property
    def name(self) -> str:
        """The name of the kind, which is also its command: ``train`` or ``transfer``."""
        return self.config_class.kind

    # Settings

    def resolve(self, user: Tree) -> Config:
        """The config in which all that ``user`` leaves open has its default.

        A run that starts from another one has that one's network, and images of the same size.

        Raises:
            InputError: unknown or wrong settings, or no run at ``init.checkpoint``.
        """
        return loading.resolve(self.config_class, user, self.start_settings(user))

    def start_settings(self, user: Tree) -> Tree:
        """The settings that the network of ``init.checkpoint`` needs; none where it is not set."""
        checkpoint = get(user, "init.checkpoint", None)
        if not isinstance(checkpoint, str):
            return {}
        from metaray.platform.training.pretrained import PretrainedEncoder  # imports torch

        return PretrainedEncoder.read(user_path(checkpoint)).settings()

    def load(
        self,
        file: Path | None = None,
        overrides: Iterable[str] = (),
        below: Tree | None = None,
    ) -> Config:
        """The config of a TOML file (or of nothing) under ``key=value`` overrides.

        Args:
            file: settings; None: those of ``overrides`` alone.
            overrides: as of ``--set``.
            below: settings in nested tables that the file and the overrides may replace.

        Raises:
            InputError: as ``resolve``, or the file cannot be read.
        """
        user = loading.read_toml(file) if file else {}
        return self.resolve(loading.with_overrides(merged(below or {}, user), overrides))

    def read(self, path: Path) -> Config:
        """The settings in a run's ``config.json``; InputError where metaray did not write it."""
        return loading.read_config(self.config_class, path)

    @abstractmethod
    def resumable(self, config: Config) -> tuple[str, ...]:
        """Beginnings of the settings that may change on resume: none that shaped parameters."""

    @abstractmethod
    def evaluable(self, trained: Config, overrides: Iterable[str]) -> tuple[str, ...]:
        """Beginnings of the settings that may change for a test under ``overrides``."""

    chosen: ClassVar[tuple[str, ...]] = ()
    """paths of the settings of which a run keeps what their ``auto`` stood for"""
    fits: ClassVar[tuple[str, ...]] = ()
    """paths of the settings whose defaults are lowered to what the data allows"""

    # Running

    @abstractmethod
    def fitted(self, config: Config, address: str = "local") -> tuple[Config, str]:
        """``config`` with defaults that fit its data, and a sentence where they are lowered.

        The data is prepared with progress if need be, and checked.

        Raises:
            InputError: it is missing, damaged, or too small.
        """

    @abstractmethod
    def prepare(self, config: Config, address: str) -> Prepared:
        """All of a new run but its folder: data, network, initial state.

        Raises:
            InputError: settings, data and network do not fit each other or this machine.
        """

    @abstractmethod
    def reopen(
        self, run: RunDirectory, config: Config, address: str, callbacks: CallbackList
    ) -> Session:
        """The run in a folder under ``config``, with the data that it was trained on.

        Raises:
            InputError: the data is another one, or the newest checkpoint does not fit.
        """

    def reopen_for_test(
        self, run: RunDirectory, overrides: Sequence[str], address: str, callbacks: CallbackList
    ) -> Session:
        """The run in a folder, opened for a test under ``overrides``.

        Raises:
            InputError: as ``reopen``, or an override of what a test cannot change.
        """
        trained = self.read(run.config)
        config = loading.override(trained, overrides)
        loading.check_changes(trained, config, self.evaluable(trained, overrides), "evaluated")
        return self.reopen(run, config, address, callbacks)

    def place(self, config: Config, address: str) -> AbstractContextManager[None]:
        """What a run holds from before its folder is made: a connection to a cluster, say.

        Raises:
            InputError: the cluster has no room for the run.
            ClusterError: there is none.
        """
        return nullcontext()

    @abstractmethod
    def learner(self, run: RunDirectory) -> Learner:
        """The trained model of a run, which learns new classes from a few pictures.

        Raises:
            InputError: it has no checkpoint yet, or was not trained on classes of pictures.
        """

    @abstractmethod
    def tasks_to_compare(self, run: RunDirectory) -> list[Task]:
        """Two tasks of the data of a run, on which an exported model is compared with it.

        Raises:
            InputError: the data is not there any more.
        """

    # Words

    @abstractmethod
    def run_name(self, config: Config) -> str:
        """What is trained on what, for the name of a folder."""

    @abstractmethod
    def title(self, config: Config) -> str:
        """What is trained, on what, for people."""

    @abstractmethod
    def result_lines(self, summary: dict[str, Any]) -> list[Text]:
        """The result of a test for the terminal, a line each."""

    # Comparisons

    @property
    def comparison(self) -> Comparable[Config] | None:
        """How its runs are compared; None where they cannot be."""
        return None

    # Sweeps

    def trial_settings(self, settings: Tree) -> Tree:
        """``settings`` of the user, with what all trials of a sweep have unless it is set."""
        return settings

    @abstractmethod
    def check_trials(self, config: Config, metrics: Sequence[str]) -> None:
        """Raise InputError for settings or metrics that would make a sweep worthless."""

    @abstractmethod
    def default_metric(self, config: Config) -> str:
        """What a sweep optimizes unless the user says."""

    @abstractmethod
    def space(self, config: Config) -> Space:
        """What a sweep searches unless the user says."""

    def rates(self, config: Config) -> tuple[str, ...]:
        """Paths of the settings that a population may change while it trains.

        Raises:
            InputError: there are none.
        """
        raise InputError(
            f"--scheduler pbt changes settings while runs train, which those of metaray {self.name}"
            " cannot: use --scheduler asha, hyperband or none"
        )

    @abstractmethod
    def steps(self, config: Config) -> int:
        """The length of the training of a trial."""

    @abstractmethod
    def validated_on(self, config: Config) -> str:
        """What trials are validated on: ``100 validation episodes``."""

    @abstractmethod
    def told_of_test(self, test: dict[str, Any], num_tested: int) -> str:
        """What was touched by the search and what by the test, in a sentence or more.

        ``num_tested`` is more than one where a sweep ended and continued.
        """

    @abstractmethod
    def bars(self, test: dict[str, Any]) -> list[Bar]:
        """The accuracy of the test, and its references."""
