"""The kinds of transfer jobs by name. No torch until an objective is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaray.algorithms.open_registry import SectionRegistry
from metaray.algorithms.transfer.job_section import JobSection

if TYPE_CHECKING:
    from metaray.algorithms.transfer.objective import Networks, Objective

JOBS = SectionRegistry(
    key="job.name",
    group="metaray.jobs",
    builtin={
        "finetune": "metaray.algorithms.transfer.finetune_config:FinetuneConfig",
        "dann": "metaray.algorithms.transfer.domain_adaptation_config:DANNConfig",
        "distill": "metaray.algorithms.transfer.distill_config:DistillConfig",
        "simclr": "metaray.algorithms.transfer.simclr_config:SimCLRConfig",
        "moco": "metaray.algorithms.transfer.moco_config:MoCoConfig",
    },
    base=JobSection,
)
"""The config class of each kind of job, by name."""


def build_objective(config: JobSection, networks: Networks) -> Objective:
    """The objective of ``config`` over ``networks``.

    Raises:
        InputError: the settings do not fit the networks.
    """
    objective: Objective = JOBS.implementation(config.name)(config, networks)
    return objective
