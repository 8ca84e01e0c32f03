"""What a run tells beside its own files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from metaray.algorithms.configs import Section
from metaray.algorithms.plugins import located

TrackerName = Literal["mlflow", "wandb"]


class MonitoringConfig(Section):
    """What a run tells beside its own files. None of it changes the result, or can end the run."""

    export: bool = True
    """metrics of the run through Ray for Prometheus (docs/monitoring.md); a run without Ray has
    none"""
    trackers: tuple[TrackerName, ...] = Field(())
    """experiment trackers to tell too: mlflow, wandb; both write files into the run directory
    unless MLFLOW_TRACKING_URI or WANDB_MODE say otherwise"""
    callbacks: tuple[str, ...] = Field(())
    """your own callbacks, as "file.py:Class" or "package.module:Class" (docs/monitoring.md); each
    is created without arguments"""

    @field_validator("callbacks")
    @classmethod
    def _locate(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """With absolute paths, so that trials find the files wherever they run."""
        return tuple(map(located, names))
