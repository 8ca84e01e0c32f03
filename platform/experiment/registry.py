"""Which kind of run some settings describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from metaray.platform.config.schema import RunConfig
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.experiment.base import Kind
from metaray.platform.experiment.meta_kind import MetaTraining
from metaray.platform.experiment.transfer_kind import TransferJob

SweptConfig: TypeAlias = RunConfig | TransferConfig


def kind_of(settings: Mapping[str, Any]) -> Kind[Any]:
    """That of ``settings`` in nested tables: those of a transfer job have a section ``job``."""
    return TransferJob() if "job" in settings else MetaTraining()
