"""The settings of the method and of the transfer job; no torch, so that they are read quickly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from metaray.algorithms.methods.method_section import MethodSection
from metaray.algorithms.transfer.job_section import JobSection
from metaray.tune_spaces.space import Float


class NearestConfig(MethodSection):
    """Nearest class mean, softened by a temperature."""

    summary: ClassVar[str] = "nearest class mean with a temperature"
    paper: ClassVar[str] = "an example"
    implementation: ClassVar[str] = "metaray_example.method:Nearest"
    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    search_space: ClassVar[Mapping[str, Any]] = {
        "method.temperature": Float(0.1, 10.0, log=True),
    }

    temperature: float = Field(1.0, gt=0)
    """divides the distances"""


class SmoothConfig(JobSection):
    """Training with smoothed labels."""

    summary: ClassVar[str] = "trains on labels of which a share is spread over all classes"
    paper: ClassVar[str] = "Szegedy et al., CVPR 2016"
    implementation: ClassVar[str] = "metaray_example.job:Smooth"

    smoothing: float = Field(0.1, ge=0, lt=1)
    """share of each label that is spread"""
