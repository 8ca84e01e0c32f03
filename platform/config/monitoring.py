"""Settings of what follows a run: Prometheus, trackers, callbacks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from metaray.algorithms.configs import Section
from metaray.algorithms.plugins import located

TrackerName = Literal["mlflow", "wandb"]


class MonitoringConfig(Section):
    """What follows the run. None of it changes the result or can make the run fail."""

    export: bool = True
    """export metrics through Ray for Prometheus (docs/monitoring.md); a run without Ray has none"""
    trackers: tuple[TrackerName, ...] = Field(())
    """experiment trackers: mlflow, wandb; both write files into the run directory
    unless MLFLOW_TRACKING_URI or WANDB_MODE say otherwise"""
    callbacks: tuple[str, ...] = Field(())
    """your own callbacks, as "file.py:Class", "package.module:Class" or a name that an installed
    package offers (docs/monitoring.md); each is created without arguments"""

    @field_validator("callbacks")
    @classmethod
    def _locate(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """With absolute paths, so that trials on any node find the files."""
        return tuple(map(located, names))
