"""Which kind of run some settings describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from metaray.platform.config import RunConfig
from metaray.platform.sweep.kind import Kind
from metaray.platform.sweep.meta_kind import MetaTraining
from metaray.platform.sweep.transfer_kind import TransferJob
from metaray.platform.transfer.config import TransferConfig

SweptConfig: TypeAlias = RunConfig | TransferConfig


def kind_of(settings: Mapping[str, Any]) -> Kind[Any]:
    """That of ``settings`` in nested tables: those of a transfer job have a section ``job``."""
    return TransferJob() if "job" in settings else MetaTraining()
