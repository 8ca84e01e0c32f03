"""MLflow and Weights & Biases, for those who installed them: ``pip install metaray[mlflow]``.

Both write into the run directory, and tell no server, unless their own variables name one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.scalars import scalars
from metaray.platform.config.loading import flat
from metaray.platform.config.monitoring import TrackerName
from metaray.platform.run.status import Status

Row = Mapping[str, Any]
Tree = dict[str, Any]
PROJECT = "metaray"


def check_installed(names: Sequence[TrackerName]) -> None:
    """Raise InputError for a tracker that is not there."""
    for name in names:
        if find_spec(name) is None:
            raise InputError(
                f"monitoring.trackers names {name}, which is not installed: "
                f"pip install 'metaray[{name}]', or leave it out"
            )


def open_tracker(
    name: TrackerName, folder: Path, identity: Identity, config: Tree
) -> MLflow | WandB:
    """A sink that tells ``name`` of the run with ``config`` in ``folder``."""
    return (MLflow if name == "mlflow" else WandB)(folder, identity, config)


class MLflow:
    """A run of the experiment ``metaray``; in ``mlflow.db`` unless MLFLOW_TRACKING_URI is set."""

    def __init__(self, folder: Path, identity: Identity, config: Tree) -> None:
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # the terminal is the run's
        place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.absolute()}/mlflow.db"
        self._client: Any = MlflowClient(tracking_uri=place)
        found = self._client.get_experiment_by_name(PROJECT)
        experiment = found.experiment_id if found else self._client.create_experiment(PROJECT)
        name = "/".join(filter(None, (identity.run, identity.trial)))
        run = self._client.create_run(experiment, run_name=name, tags={"kind": identity.kind})
        self._id = run.info.run_id
        from mlflow.entities import Param

        params = [Param(key, str(value)) for key, value in flat(config) if value is not None]
        self._client.log_batch(self._id, params=params)

    def publish(self, rows: Sequence[Row], status: Status, now_s: float) -> None:
        """In one batch."""
        from mlflow.entities import Metric

        metrics = [
            Metric(key, value, int(1000 * now_s), row["step"])
            for row in rows
            for key, value in scalars(row)
        ]
        for first in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._id, metrics=metrics[first : first + _BATCH])

    def close(self) -> None:
        """End the run there."""
        self._client.set_terminated(self._id)


class WandB:
    """A run of the project ``metaray``; offline in ``wandb/`` unless WANDB_MODE says otherwise."""

    def __init__(self, folder: Path, identity: Identity, config: Tree) -> None:
        import wandb

        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name="/".join(filter(None, (identity.run, identity.trial))),
            group=identity.run if identity.trial else None,
            job_type=identity.kind,
            dir=str(folder),
            config=config,
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def publish(self, rows: Sequence[Row], status: Status, now_s: float) -> None:
        """One step each."""
        for row in rows:
            self._run.log(dict(scalars(row)), step=row["step"])

    def close(self) -> None:
        """End the run there."""
        self._run.finish()


_BATCH = 900  # MLflow takes up to 1000 at once
