"""The trials of a sweep on a Ray that is connected already, by Ray Tune."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from time import monotonic
from typing import Any

import optuna
from ray import tune
from ray.tune.experiment import Trial
from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.common.errors import TrainingError
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.distributed.ray_alive import check_ray
from metaray.platform.distributed.resources import cluster_nodes, trial_bundles, trials_at_once
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep import study as studies
from metaray.platform.sweep.plan import SweepPlan
from metaray.platform.sweep.population_searcher import PopulationSearcher
from metaray.platform.sweep.schedulers import make_scheduler
from metaray.platform.sweep.searcher import StudySearcher
from metaray.platform.sweep.space_file import SpaceFunction
from metaray.platform.sweep.storage import error_text
from metaray.platform.sweep.trial import run_trial
from metaray.tune_spaces.space import Space

_RESTARTS = 3  # of a trial whose process or node is lost


def trials_in_parallel(config: ExperimentConfig, wanted: int | None) -> int:
    """Trials at once: as many as the cluster holds, or ``wanted`` if that is fewer.

    Raises:
        InputError: not even one fits.
    """
    fits = trials_at_once(config.workers, cluster_nodes())
    return fits if wanted is None else min(fits, wanted)


def searcher_of(plan: SweepPlan) -> type[StudySearcher]:
    """Who proposes the trials of ``plan``, and what each is to do next."""
    return PopulationSearcher if plan.scheduler == "pbt" else StudySearcher


def run_trials(
    plan: SweepPlan,
    space: Space | SpaceFunction,
    folder: SweepDirectory,
    study: optuna.Study,
    *,
    num_trials: int,
    parallel: int,
    time_budget_s: float | None,
    callbacks: CallbackList,
) -> bool:
    """Run what is left of ``plan``; whether ``callbacks.stop`` ended it.

    Raises:
        InputError: the study's storage does not answer any more.
        TrainingError: Ray Tune ended before all trials did.
    """
    _quiet_tune()
    deadline = None if time_budget_s is None else monotonic() + time_budget_s

    def stopping() -> bool:
        out_of_time = deadline is not None and monotonic() > deadline
        return out_of_time or callbacks.stop.requested()

    searcher = searcher_of(plan)(
        plan, space, folder, study, num_trials, parallel, callbacks, stopping
    )
    group = tune.PlacementGroupFactory(trial_bundles(plan.base.workers))
    shutil.rmtree(folder.tune, ignore_errors=True)  # of a killed process
    tuner = tune.Tuner(
        tune.with_resources(run_trial, group),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=make_scheduler(plan, _most_steps(plan, space), study),
            num_samples=-1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=folder.tune.name,
            storage_path=str(folder.path),
            stop=_Stopper(lambda: searcher.lost is not None or stopping()),
            callbacks=[_LostTrials(searcher)],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=_RESTARTS),
        ),
    )
    tuner.fit()
    shutil.rmtree(folder.tune, ignore_errors=True)
    if searcher.lost is None:
        searcher.conclude_ended()
    if searcher.lost is not None:
        raise InputError(
            f"the study cannot be reached any more ({error_text(searcher.lost)}); what was "
            f"found is kept: continue with metaray sweep --resume {folder.path}"
        )
    if not stopping():
        check_complete(study, num_trials, folder)
    return callbacks.stop.requested()


class _Stopper(tune.Stopper):
    """Ends all trials when the sweep is to end."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping

    @override
    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    @override
    def stop_all(self) -> bool:
        return self._stopping()

    @override
    def __getstate__(self) -> dict[str, Any]:
        return {}  # for the copies that Tune pickles and never reads


class _LostTrials(tune.Callback):
    """Gives the searcher back the trials that Tune loses.

    Tune reuses processes. If the thread of an ended trial does not return in time, Tune marks the
    trial that comes next in this process as an error, and tells its search algorithm nothing.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        self._searcher = searcher

    @override
    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        check_ray()
        for trial in trials:
            if trial.status == Trial.ERROR:
                self._searcher.take_back(trial.trial_id)


def check_complete(study: optuna.Study, num_trials: int, folder: SweepDirectory) -> None:
    """Raise TrainingError if Tune ended early and no stop was requested."""
    left = [str(trial.number) for trial in studies.unfinished(study)]
    left += [str(number) for number in range(studies.begun(study), num_trials)]
    if left:
        raise TrainingError(
            f"Ray Tune ended before trials {', '.join(left)} were done: continue with "
            f"metaray sweep --resume {folder.path}"
        )


def _most_steps(plan: SweepPlan, space: Space | SpaceFunction) -> int:
    """The steps of the longest trial, where their number itself is searched."""
    key = plan.experiment.steps_key
    searched = None if callable(space) else space.get(key)
    longest = max(searched.ends) if searched else None  # type: ignore[type-var]
    if longest is not None and not isinstance(longest, int):
        raise InputError(f"{key} counts: search it by an int")
    return max(plan.steps, longest or 0)


def _quiet_tune() -> None:
    """Our table is what a user sees, and our handler is what Ctrl-C reaches."""
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ["TUNE_WARN_THRESHOLD_S"] = "10"
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
