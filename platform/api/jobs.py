"""Transfer jobs: ``mr.transfer(mr.jobs.Finetune(strategy="head"), data)``.

>>> Finetune(strategy="head")
Job('finetune', strategy='head')
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, cast

from metaray.algorithms.transfer.distill_config import DistillConfig
from metaray.algorithms.transfer.domain_adaptation_config import DANNConfig
from metaray.algorithms.transfer.finetune_config import FinetuneConfig
from metaray.algorithms.transfer.job_section import JobSection
from metaray.algorithms.transfer.moco_config import MoCoConfig
from metaray.algorithms.transfer.simclr_config import SimCLRConfig
from metaray.platform.api.parts import Keywords, Part

P = ParamSpec("P")


class Job(Part):
    """A job by name: ``Job("finetune", strategy="head")`` is ``Finetune(strategy="head")``."""


class JobBuilder(Protocol[P]):
    """A function that takes the settings of a transfer job and returns a ``Job``."""

    def __call__(self, *args: P.args, **settings: P.kwargs) -> Job:
        """The job with these settings."""


def _job(shown: str, config: Callable[P, JobSection]) -> JobBuilder[P]:
    config_class = cast(type[JobSection], config)
    keywords = Keywords(config_class)

    def build(**settings: Any) -> Job:
        keywords.check(shown, settings)
        return Job(config_class.model_fields["name"].default, **settings)

    keywords.describe(build, shown, config_class.__doc__ or "")
    return cast(JobBuilder[P], build)


Finetune = _job("Finetune", FinetuneConfig)
DANN = _job("DANN", DANNConfig)
Distill = _job("Distill", DistillConfig)
SimCLR = _job("SimCLR", SimCLRConfig)
MoCo = _job("MoCo", MoCoConfig)
