"""Manifests against what those who read them accept."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from metaray.algorithms.errors import InputError
from metaray.cluster.errors import ClusterError
from metaray.cluster.manifests.config import ClusterConfig
from metaray.cluster.manifests.make import KINDS
from metaray.platform.cli.main import run
from metaray.platform.cli.manifest import Kind
from metaray.platform.config.loading import read_toml, validate_as
from metaray.platform.config.values import parse_toml

GROUPS = [
    {"name": "cpu", "cpus": 8, "min": 1, "max": 3},
    {"name": "gpu", "cpus": 16, "gpus": 2, "memory_gb": 64, "max": 5, "machine": "g5.12xlarge"},
]
FULL = {
    "name": "few-shot",
    "storage": "s3://lab/runs",
    "workers": GROUPS,
    "ssh": {"head": "10.0.0.1", "hosts": ["10.0.0.2", "10.0.0.3"]},
    "kubernetes": {"service_account": "trainer", "secret": "keys", "claim": "data"},
}

# Fields of ray.io/v1 in KubeRay 1.5.1 and 1.7.0 that both have: those that manifests may use
KUBERAY_CLUSTER = {
    "rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec",
    "workerGroupSpecs", "suspend", "gcsFaultToleranceOptions", "headServiceAnnotations",
    "managedBy",
}  # fmt: skip
KUBERAY_AUTOSCALER = {
    "version", "idleTimeoutSeconds", "upscalingMode", "resources", "env", "envFrom", "image",
    "imagePullPolicy", "securityContext", "volumeMounts",
}  # fmt: skip
KUBERAY_HEAD = {
    "serviceType", "rayStartParams", "template", "enableIngress", "headService", "labels",
    "resources",
}  # fmt: skip
KUBERAY_GROUP = {
    "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template",
    "idleTimeoutSeconds", "numOfHosts", "scaleStrategy", "suspend", "labels", "resources",
}  # fmt: skip
KUBERAY_JOB = {
    "entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
    "rayClusterSpec", "submissionMode", "submitterPodTemplate", "submitterConfig", "metadata",
    "runtimeEnvYAML", "activeDeadlineSeconds", "clusterSelector", "entrypointNumCpus",
    "entrypointNumGpus", "entrypointResources", "jobId", "suspend", "deletionStrategy",
}  # fmt: skip
POD = {"containers", "serviceAccountName", "volumes", "tolerations"}
CONTAINER = {
    "name", "image", "resources", "securityContext", "ports", "env", "envFrom", "volumeMounts",
}  # fmt: skip


def config(**changes: Any) -> ClusterConfig:
    return ClusterConfig.model_validate(FULL | changes)


def made(kind: str, **changes: Any) -> Any:
    return yaml.safe_load(KINDS[kind](config(**changes)))


@pytest.mark.parametrize("kind", ["aws", "ssh"])
def test_ray_up_accepts_it(kind: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster = prepare_config(made(kind))
    validate_config(cluster)
    assert cluster["cluster_name"] == "few-shot"
    assert cluster["max_workers"] == (8 if kind == "aws" else 2)


def test_aws_groups_have_their_resources_and_limits() -> None:
    groups = made("aws")["available_node_types"]
    assert groups["gpu"]["resources"] == {"CPU": 16, "GPU": 2}
    assert groups["gpu"]["node_config"]["InstanceType"] == "g5.12xlarge"
    assert (groups["cpu"]["min_workers"], groups["cpu"]["max_workers"]) == (1, 3)


@pytest.mark.parametrize("kind", ["aws", "ssh"])
def test_what_ray_up_starts_asks_for_the_token_and_hides_its_dashboard(kind: str) -> None:
    cluster = made(kind)
    assert cluster["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    for role in ("head", "worker"):
        (start,) = [c for c in cluster[f"{role}_start_ray_commands"] if "ray start" in c]
        assert "RAY_AUTH_MODE=token" in start.split("ray start")[0]
    assert "--dashboard-host=127.0.0.1" in cluster["head_start_ray_commands"][1]


def kuberay_specs() -> list[dict[str, Any]]:
    job = made("kuberay-job")
    assert set(job["spec"]) <= KUBERAY_JOB
    return [made("kuberay-cluster")["spec"], job["spec"]["rayClusterSpec"]]


def test_kuberay_knows_every_field() -> None:
    for spec in kuberay_specs():
        head, groups = spec["headGroupSpec"], spec["workerGroupSpecs"]
        assert set(spec) <= KUBERAY_CLUSTER
        assert set(spec["autoscalerOptions"]) <= KUBERAY_AUTOSCALER
        assert set(head) <= KUBERAY_HEAD
        assert {"rayStartParams", "template"} <= set(head)
        for group in groups:
            assert set(group) <= KUBERAY_GROUP
            assert {"groupName", "minReplicas", "maxReplicas", "template"} <= set(group)
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        for part in (head, *groups):
            pod = part["template"]["spec"]
            assert set(pod) <= POD
            assert all(set(container) <= CONTAINER for container in pod["containers"])
            assert all(isinstance(value, str) for value in part["rayStartParams"].values())


def test_kuberay_asks_for_the_token_and_stays_within_the_cluster() -> None:
    for spec in kuberay_specs():
        assert spec["authOptions"] == {"mode": "token"}
        assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
        assert "enableIngress" not in spec["headGroupSpec"]


def test_kuberay_gpu_groups_reserve_gpus_and_tolerate_their_nodes() -> None:
    for spec in kuberay_specs():
        cpu, gpu = (group["template"]["spec"] for group in spec["workerGroupSpecs"])
        assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
        assert gpu["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert "nvidia.com/gpu" not in cpu["containers"][0]["resources"]["limits"]
        assert "tolerations" not in cpu


def test_kuberay_takes_secrets_by_name_and_on_the_head_alone() -> None:
    for spec in kuberay_specs():
        (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
        assert head["envFrom"] == [{"secretRef": {"name": "keys"}}]
        for group in spec["workerGroupSpecs"]:
            assert "envFrom" not in group["template"]["spec"]["containers"][0]


def test_the_job_quotes_what_it_does() -> None:
    job = made("kuberay-job", command="train --set 'method.name=maml' --set 'data.root=/data/a b'")
    assert job["spec"]["entrypoint"] == (
        "metaray train --set method.name=maml --set 'data.root=/data/a b' --address auto"
    )


def test_the_dockerfile_has_the_versions_of_here() -> None:
    import ray

    text = KINDS["docker"](config())
    python = f"{sys.version_info.major}{sys.version_info.minor}"
    assert f"FROM rayproject/ray:{ray.__version__}-py{python}\n" in text
    assert "dist/metaray-" in text


def test_the_example_says_what_the_defaults_are(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(KINDS["config"](config()))
    assert validate_as(ClusterConfig, read_toml(file)) == config()


def test_the_command_offers_every_kind_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(get_args(Kind)) == set(KINDS)
    out = tmp_path / "cluster.yaml"
    words = ["metaray", "cluster", "manifest", "kuberay-cluster", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        run()
    assert yaml.safe_load(out.read_text())["kind"] == "RayCluster"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workers": [{"cpu": 4}]}, "unknown setting workers.0.cpu: did you mean workers.cpus?"),
        ({"workers": [{"min": 5, "max": 2}]}, "min = 5 and max = 2"),
        ({"workers": [{"name": "a"}, {"name": "a"}]}, "called a, a: give each another name"),
        ({"workers": []}, "workers = [] is not valid"),
        ({"storage": "ftp://host/runs"}, "storage = 'ftp://host/runs' is no place for runs"),
        ({"name": "My Cluster"}, "name = 'My Cluster' is not valid"),
        ({"slurm": {"partition": "gpu\n#SBATCH --uid=0"}}, "is not the name of a partition"),
        ({"image": "host/a:1\nRUN evil"}, "is not the name of a container image"),
        ({"image": "$(evil)"}, "is not the name of a container image"),
        ({"ssh": {"environment": "/a\nevil"}}, "is not one line of text"),
        ({"slurm": {"environment": ""}}, "is not one line of text"),
        ({"ssh": {"head": "h;evil"}}, "is not the name or address of a machine"),
        ({"ssh": {"hosts": ["-oProxyCommand=evil"]}}, "hosts = '-oProxyCommand=evil' is not"),
        ({"ssh": {"user": "a b"}}, "is not one word"),
        ({"aws": {"region": "eu west"}}, "is not one word"),
        ({"head": {"machine": "m6i\n"}}, "is not one word"),
        ({"command": "train --set 'a"}, "is not a command line (No closing quotation)"),
        ({"command": "train\nevil"}, "is not one line of text"),
        ({"storage": "/runs\n#SBATCH --uid=0"}, "is not one line of text"),
    ],
)
def test_a_bad_description_gets_a_sentence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        validate_as(ClusterConfig, FULL | changes)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("ssh", {"ssh": {}}, "set ssh.head"),
        ("ssh", {"ssh": {"head": "a", "hosts": ["b", "a"]}}, "name a machine twice"),
        ("slurm", {}, "the cluster has 2 groups"),
    ],
)
def test_what_a_kind_lacks_is_said(kind: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        KINDS[kind](config(**changes))


SECRETS = [
    "s3://ada:s3cr3t@b/r",
    "ftp://:s3cr3t@b/r",
    "s3://b/r?region=x&aws_secret=s3cr3t",
    "s3://a%3As3cr3t%40b/r",
]


@pytest.mark.parametrize("uri", SECRETS)
@pytest.mark.parametrize("key", ["storage", "command"])
def test_credentials_are_refused_and_not_shown(key: str, uri: str) -> None:
    value = uri if key == "storage" else f"train --out {uri}"
    with pytest.raises(InputError, match=f"{key} holds a password or a key") as caught:
        validate_as(ClusterConfig, FULL | {key: value})
    assert "s3cr3t" not in str(caught.value)


ODD = "~/it's $(touch evil) `touch evil`; # \u00e4"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_odd_text_stays_a_value(kind: str) -> None:
    ssh = {"head": "10.0.0.1", "hosts": ["10.0.0.2"], "environment": ODD}
    odd = {"storage": ODD, "ssh": ssh, "slurm": {"environment": ODD}, "workers": [{}]}
    text = KINDS[kind](config(**odd, command=shlex.join(["train", "--out", ODD])))
    if kind in ("docker", "slurm"):
        assert ODD not in text.replace(shlex.quote(ODD), "").replace(shlex.quote(ODD[2:]), "")
    elif kind == "config":
        assert parse_toml(text)["storage"] == ODD
    elif kind == "kuberay-job":
        words = shlex.split(yaml.safe_load(text)["spec"]["entrypoint"])
        assert words == ["metaray", "train", "--out", ODD, "--address", "auto"]
    elif kind == "ssh":
        first, *_ = yaml.safe_load(text)["head_start_ray_commands"]
        assert shlex.split(first) == [".", f"{ODD}/bin/activate", "&&", "ray", "stop"]


def slurm(folder: Path, **changes: Any) -> Path:
    script = folder / "run.sh"
    script.write_text(KINDS["slurm"](config(**changes)))
    return script


@pytest.mark.parametrize("nodes", [1, 4])
def test_the_slurm_script_is_sound(nodes: int, tmp_path: Path) -> None:
    script = slurm(tmp_path, workers=[{"max": nodes, "gpus": 1}], storage="~/my runs")
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    text = script.read_text()
    assert "#SBATCH --gpus-per-node=1\n" in text
    assert f"#SBATCH --nodes={nodes}\n" in text
    assert "export METARAY_RUNS=~/'my runs'\n" in text
    done = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
