"""The kinds of transfer jobs by name: a plain table. No torch until an objective is built."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, get_args

from metaray.algorithms.registry import Method
from metaray.algorithms.transfer.configs import JobConfig
from metaray.algorithms.transfer.job_section import JobSection

if TYPE_CHECKING:
    from metaray.algorithms.transfer.objective import Networks, Objective

JOBS: dict[str, Method] = {
    "finetune": Method(
        summary="trains on labelled pictures from where another training left the network",
        paper="Howard & Ruder, ACL 2018, arXiv 1801.06146; Li et al., ICML 2018, arXiv 1802.01483",
        module="metaray.algorithms.transfer.finetune",
        class_name="FineTuning",
    ),
}


def build_objective(config: JobSection, networks: Networks) -> Objective:
    """The objective of ``config`` over ``networks``.

    Raises:
        InputError: the settings do not fit the networks.
    """
    job = JOBS[config.model_dump()["name"]]
    factory = getattr(import_module(job.module), job.class_name)
    objective: Objective = factory(config, networks)
    return objective


def job_classes() -> dict[str, type[JobSection]]:
    """The config class of each job, by name."""
    union = get_args(JobConfig)[0]
    classes = get_args(union) or (union,)
    return {cls.model_fields["name"].default: cls for cls in classes}
