"""MLflow and Weights & Biases, for those who installed them: ``pip install metaray[mlflow]``.

Both write into the run directory, and tell no server, unless their own variables name one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from importlib.util import find_spec
from time import time
from typing import Any

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.base import BackgroundCallback, EndState, RunInfo
from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.scalars import scalars
from metaray.platform.config.monitoring import TrackerName
from metaray.platform.config.tree import flat
from metaray.platform.run.metrics_log import MetricsRow

PROJECT = "metaray"
_BATCH = 900  # MLflow takes up to 1000 at once


def check_installed(names: Sequence[TrackerName]) -> None:
    """Raise InputError for a tracker that is not there."""
    for name in names:
        if find_spec(name) is None:
            raise InputError(
                f"monitoring.trackers names {name}, which is not installed: "
                f"pip install 'metaray[{name}]', or leave it out"
            )


def tracker(name: TrackerName) -> BackgroundCallback:
    """The callback that records a run in ``name``."""
    return MLflow() if name == "mlflow" else WandB()


class MLflow(BackgroundCallback):
    """A run of the experiment ``metaray``; in ``mlflow.db`` unless MLFLOW_TRACKING_URI is set."""

    def __init__(self) -> None:
        self._client: Any = None
        self._id = ""
        self._rows: list[MetricsRow] = []

    @override
    def on_start(self, info: RunInfo) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # the terminal is the run's
        local = f"sqlite:///{info.folder.absolute()}/mlflow.db"
        self._client = MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or local)
        found = self._client.get_experiment_by_name(PROJECT)
        experiment = found.experiment_id if found else self._client.create_experiment(PROJECT)
        tags = {"kind": info.identity.kind}
        run = self._client.create_run(experiment, run_name=_name(info.identity), tags=tags)
        self._id = run.info.run_id
        settings = flat(dict(info.config))
        params = [Param(key, str(value)) for key, value in settings if value is not None]
        self._client.log_batch(self._id, params=params)

    @override
    def on_step(self, row: MetricsRow) -> None:
        self._rows.append(row)

    @override
    def flush(self) -> None:
        """Record the rows since the last round in few requests."""
        from mlflow.entities import Metric

        now_ms, rows, self._rows = int(1000 * time()), self._rows, []
        metrics = [
            Metric(key, value, now_ms, row["step"]) for row in rows for key, value in scalars(row)
        ]
        for first in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._id, metrics=metrics[first : first + _BATCH])

    @override
    def on_end(self, state: EndState, error: BaseException | None) -> None:
        self.flush()
        self._client.set_terminated(self._id)


class WandB(BackgroundCallback):
    """A run of the project ``metaray``; offline in ``wandb/`` unless WANDB_MODE says otherwise."""

    def __init__(self) -> None:
        self._run: Any = None

    @override
    def on_start(self, info: RunInfo) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=_name(info.identity),
            group=info.identity.run if info.identity.trial else None,
            job_type=info.identity.kind,
            dir=str(info.folder),
            config=dict(info.config),
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=wandb.Settings(silent=True, console="off"),
        )

    @override
    def on_step(self, row: MetricsRow) -> None:
        self._run.log(dict(scalars(row)), step=row["step"])

    @override
    def on_end(self, state: EndState, error: BaseException | None) -> None:
        self._run.finish()


def _name(identity: Identity) -> str:
    return "/".join(filter(None, (identity.run, identity.trial)))
