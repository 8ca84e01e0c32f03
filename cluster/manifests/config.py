"""A cluster in a few lines: the settings from which manifests are made."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import Self

from metaray.algorithms.configs import Section
from metaray.cluster.manifests.forms import Command, Host, Image, Line, Word, Words

STORAGE = re.compile(r"(s3|gs)://\S+|~?/.+")

# Kubernetes names; all other systems take them too
Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]


class HeadConfig(Section):
    """The node of Ray's own processes, the training loop and the learner; it has no workers."""

    cpus: int = Field(2, ge=1)
    """CPUs"""
    memory_gb: int = Field(8, ge=2)
    """memory in GiB"""
    machine: Word = "m6i.large"
    """aws: type of instance"""


class GroupConfig(Section):
    """Nodes of one kind."""

    name: Name = "workers"
    """name of the group"""
    cpus: int = Field(4, ge=1)
    """CPUs of a node"""
    memory_gb: int = Field(16, ge=2)
    """memory of a node in GiB"""
    gpus: int = Field(0, ge=0)
    """GPUs of a node"""
    min: int = Field(0, ge=0)
    """nodes that are always there"""
    max: int = Field(4, ge=1)
    """nodes when there is work for so many"""
    machine: Word = "m6i.xlarge"
    """aws: type of instance"""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(
                f"the group {self.name} has min = {self.min} and max = {self.max}: min is the "
                "smaller"
            )
        return self


class AwsConfig(Section):
    """Instances of EC2, started by ``ray up`` under the credentials of who calls it."""

    region: Word = "eu-central-1"
    """region"""
    user: Word = "ubuntu"
    """user of the machine image"""
    disk_gb: int = Field(100, ge=20)
    """disk of a node in GB"""
    public: bool = False
    """whether nodes have public addresses, whose SSH port (and no other) is open to all; else they
    are reached from within their network, such as over a VPN"""


class SshConfig(Section):
    """Machines that are there, reached by SSH."""

    head: Host | None = None
    """address of the head node, in a network that only the machines share"""
    hosts: tuple[Host, ...] = ()
    """addresses of the other machines"""
    user: Word = "ubuntu"
    """user on all of them"""
    environment: Line = "~/metaray"
    """folder of a virtual environment with metaray, at the same place on all of them"""


class KubernetesConfig(Section):
    """A cluster with the KubeRay operator, 1.5.1 or newer."""

    namespace: Name = "default"
    """where to put everything"""
    service_account: Name | None = None
    """what pods run as, such as one that may write to the storage"""
    secret: Name | None = None
    """a secret whose keys become environment variables of the head, such as AWS_ACCESS_KEY_ID"""
    claim: Name | None = None
    """a volume claim (ReadWriteMany) with data and caches, mounted at /data everywhere"""


class SlurmConfig(Section):
    """Nodes of one allocation."""

    partition: Words | None = None
    """partition; Slurm's default unless set"""
    time: str = Field("08:00:00", pattern=r"^(\d+-)?\d{1,2}:\d\d:\d\d$")
    """time limit, two minutes before which the run saves a checkpoint and ends"""
    environment: Line = "~/metaray"
    """folder of a virtual environment with metaray, on a disk that all nodes share"""


class ClusterConfig(Section):
    """What all manifests are made from."""

    name: Name = "metaray"
    """name of the cluster"""
    image: Image = "registry.example.org/metaray:latest"
    """container image, made by `metaray cluster manifest docker`; aws and kuberay"""
    storage: Line = "s3://bucket/runs"
    """where new runs go: s3://bucket/path, gs://bucket/path, or a folder that all nodes share"""
    command: Command = "train --set workers.count=4 --set workers.start_timeout_s=900"
    """what a kuberay-job and a slurm job do, as after `metaray`"""
    idle_minutes: int = Field(5, ge=1)
    """time without work after which a node beyond min is given back; aws and kuberay"""
    head: HeadConfig = HeadConfig()
    workers: tuple[GroupConfig, ...] = Field((GroupConfig(),), min_length=1)
    aws: AwsConfig = AwsConfig()
    ssh: SshConfig = SshConfig()
    kubernetes: KubernetesConfig = KubernetesConfig()
    slurm: SlurmConfig = SlurmConfig()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [group.name for group in self.workers]
        if len(set(names)) < len(names) or "head" in names:
            raise ValueError(
                f"the groups of workers are called {', '.join(names)}: give each another name, and "
                "none the name head"
            )
        if not STORAGE.fullmatch(self.storage):
            raise ValueError(
                f"storage = {self.storage!r} is no place for runs: give s3://bucket/path, "
                "gs://bucket/path or the path of a folder that all nodes share"
            )
        return self
