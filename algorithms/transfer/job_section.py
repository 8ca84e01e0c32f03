"""What holds for the settings of every kind of transfer job. No torch."""

from __future__ import annotations

from typing import ClassVar

from metaray.algorithms.configs import NamedSection


class JobSection(NamedSection):
    """The settings of a kind of job, and what holds for all jobs of that kind."""

    needs_target: ClassVar[bool] = False
    """draws images of a second domain, without their labels"""
    references: ClassVar[tuple[str, ...]] = ()
    """other jobs that it can be compared with, see ``evaluate.references``"""
