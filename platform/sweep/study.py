"""The Optuna study: what the sweep knows of its trials, kept where a killed process leaves it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import optuna
from optuna.trial import FrozenTrial, TrialState

from metaray.algorithms.errors import InputError
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep.plan import SweepPlan
from metaray.platform.sweep.population import Exploit, Rates
from metaray.platform.sweep.storage import open_storage, shown

_FAILURE = "failure"
_STEP = "step"
_EXPLOITS = "takeovers at step "


def create_study(plan: SweepPlan, folder: SweepDirectory, storage: str | None) -> optuna.Study:
    """A new study for ``plan``, in ``storage`` (a URL) or a file of ``folder``.

    Raises:
        InputError: the storage cannot be reached, or has a study of this name.
    """
    try:
        return optuna.create_study(
            storage=open_storage(storage, folder),
            study_name=plan.study_name,
            directions=list(plan.directions),
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise InputError(
            f"{shown(storage or '')} has a study named {plan.study_name} already: choose "
            "another folder with --out, whose name the study takes"
        ) from None


@contextmanager
def new_study(
    plan: SweepPlan, folder: SweepDirectory, storage: str | None
) -> Iterator[optuna.Study]:
    """``create_study``; where the block fails, the study is deleted and can be created again."""
    study = create_study(plan, folder, storage)
    try:
        yield study
    except BaseException:
        with suppress(Exception):  # a database that is lost must not hide the failure
            optuna.delete_study(study_name=plan.study_name, storage=open_storage(storage, folder))
        raise


def load_study(plan: SweepPlan, folder: SweepDirectory, storage: str | None) -> optuna.Study:
    """The study of a sweep that was interrupted; one that is in its folder needs no ``storage``.

    Raises:
        InputError: it is kept elsewhere, or is gone.
    """
    if plan.storage and storage is None:
        raise InputError(f"this sweep keeps its study at {plan.storage}: give it with --storage")
    if not plan.storage and not folder.study.is_file():
        raise InputError(
            f"{folder.study} is missing, and with it the results of all trials: start the sweep "
            "again, in another folder"
        )
    storage = storage if plan.storage else None  # METARAY_STORAGE may be set for other sweeps
    try:
        return optuna.load_study(study_name=plan.study_name, storage=open_storage(storage, folder))
    except KeyError:
        raise InputError(
            f"{shown(storage) if storage else folder.study} has no study {plan.study_name}"
        ) from None


def reopen(study: optuna.Study, frozen: FrozenTrial) -> optuna.Trial:
    """A trial that an earlier process left unfinished, to continue."""
    return optuna.Trial(study, frozen._trial_id)  # ask() has no form for one that exists


def unfinished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that were begun and have no result, in their order."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def begun(study: optuna.Study) -> int:
    """How many trials there are in any state but waiting."""
    return sum(t.state != TrialState.WAITING for t in study.get_trials(deepcopy=False))


def report(trial: optuna.Trial, value: float, step: int) -> None:
    """A validation on the way; the same step again, after a resume, changes nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "step already reported"
        trial.report(value, step)


def tell_complete(trial: optuna.Trial, values: Sequence[float], step: int) -> None:
    """The trial trained to its end."""
    trial.set_user_attr(_STEP, step)
    trial.study.tell(trial, list(values))


def tell_pruned(trial: optuna.Trial, step: int) -> None:
    """The trial was ended early. Its last reported value is known to samplers, and no result."""
    trial.set_user_attr(_STEP, step)
    trial.study.tell(trial, state=TrialState.PRUNED)


def tell_failed(trial: optuna.Trial, reason: str) -> None:
    """The trial has no result."""
    trial.set_user_attr(_FAILURE, reason)
    trial.study.tell(trial, state=TrialState.FAIL)


def failure(trial: FrozenTrial) -> str | None:
    """Why a failed trial failed."""
    return trial.user_attrs.get(_FAILURE)


def last_step(trial: FrozenTrial) -> int | None:
    """The outer step at which a trial ended."""
    return trial.user_attrs.get(_STEP)


def record_exploits(study: optuna.Study, step: int, found: Sequence[Exploit]) -> None:
    """The trials of a population were compared at ``step``, and these take over."""
    study.set_user_attr(f"{_EXPLOITS}{step}", [exploit.as_dict() for exploit in found])


def exploits(study: optuna.Study) -> dict[int, list[Exploit]]:
    """Who took over from whom, by step; a step without any has an empty list."""
    steps = {
        int(key.removeprefix(_EXPLOITS)): value
        for key, value in study.user_attrs.items()
        if key.startswith(_EXPLOITS)
    }
    return {step: [Exploit(**entry) for entry in steps[step]] for step in sorted(steps)}


def last_compared(study: optuna.Study) -> int:
    """The last step at which a population was compared; 0 before the first."""
    return max(exploits(study), default=0)


def rates_now(study: optuna.Study, number: int) -> Rates:
    """The rates that a trial took over last; none if it never did."""
    own = [t for found in exploits(study).values() for t in found if t.trial == number]
    return own[-1].rates if own else {}


def best(study: optuna.Study) -> FrozenTrial | None:
    """The complete trial that is best by the first metric, of those on the Pareto front."""
    trials = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
    if not trials:
        return None
    front = study.best_trials if len(study.directions) > 1 else trials
    sign = 1 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else -1
    return max(front, key=lambda t: sign * t.values[0])
