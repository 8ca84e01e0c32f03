"""What holds for the settings of every kind of transfer job. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from metaray.algorithms.configs import NamedSection


class JobSection(NamedSection):
    """The settings of a kind of job, and what holds for all jobs of that kind."""

    needs_target: ClassVar[bool] = False
    """draws images of a second domain, without their labels"""
    references: ClassVar[tuple[str, ...]] = ()
    """other jobs that it can be compared with, see ``evaluate.references``"""
    uses_labels: ClassVar[bool] = True
    """learns from labels; a job that does not is validated and tested by probes of its features"""
    title: ClassVar[str] = ""
    """what people call it; its name unless set"""
    network_defaults: ClassVar[Mapping[str, Any]] = {}
    """as ``defaults``, for a network with random weights, which may have any norm"""

    @property
    def shares_classes(self) -> bool:
        """Whether source and target have the same classes, so that the target has a test."""
        return True
