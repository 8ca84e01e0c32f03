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
    "dann": Method(
        summary="adapts to a domain without labels: features that do not tell the two apart",
        paper="Ganin et al., JMLR 17, 2016, arXiv 1505.07818",
        module="metaray.algorithms.transfer.domain_adaptation",
        class_name="domain_adaptation",
    ),
    "distill": Method(
        summary="trains a small network to agree with a trained one, with or without labels",
        paper="Hinton, Vinyals & Dean 2015, arXiv 1503.02531; Romero et al., ICLR 2015",
        module="metaray.algorithms.transfer.distill",
        class_name="Distillation",
    ),
    "simclr": Method(
        summary="learns without labels that two views of a picture are alike, others not",
        paper="Chen, Kornblith, Norouzi & Hinton, ICML 2020, arXiv 2002.05709",
        module="metaray.algorithms.transfer.simclr",
        class_name="SimCLR",
    ),
    "moco": Method(
        summary="as SimCLR, against a queue of keys of a slow copy of the network",
        paper="He et al., CVPR 2020, arXiv 1911.05722; Chen et al. 2020, arXiv 2003.04297",
        module="metaray.algorithms.transfer.moco",
        class_name="MoCo",
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
