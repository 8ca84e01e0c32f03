"""What Ray's own complaints become."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaray.cluster import connect, start_cluster
from metaray.cluster.address import LOCAL_CLUSTER, Address
from metaray.cluster.dashboard import Dashboard, refused
from metaray.cluster.errors import ClusterError
from metaray.cluster.jobs import _sentence
from metaray.cluster.shape import ClusterShape

DASHBOARD = Dashboard("http://10.0.0.5:8265", "s3cr3t")


MISMATCH = (
    "Version mismatch: The cluster was started with:\n    Ray: {}\n    Python: {}\n"
    "This process on node 10.0.0.9 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
)


@pytest.mark.parametrize(
    ("ray", "python", "sentence"),
    [
        ("2.54.0", "3.11.7", r"10.0.0.5:6379 has Ray 2.54.0 and Python 3.11.7, and this environment"
         r" has Ray 2.60.0 .*: .*so run pip install .ray==2.54.0. here, or send .* metaray submit"),
        ("2.60.0", "3.12.1", "so use Python 3.12.1 here, or send"),
        ("2.54.0", "3.12.1", r"so use Python 3.12.1 and run pip install .ray==2.54.0. here, or"),
        ("2.40.0", "3.11.7", "runs Ray 2.40.0 and metaray needs 2.52 or later"),
        ("2.60.0", "3.9.18", "runs Python 3.9.18 and metaray needs 3.10 to 3.12"),
    ],
)  # fmt: skip
def test_other_versions_than_the_cluster_s_are_named(
    ray: str, python: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def join(*_: object) -> None:
        raise RuntimeError(MISMATCH.format(ray, python))

    monkeypatch.setattr(connect, "_join", join)
    with (
        pytest.raises(ClusterError, match=sentence) as caught,
        connect.connected("10.0.0.5:6379", connect),  # type: ignore[arg-type]
    ):
        pass
    assert "--address" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConnectionError("Failed to connect"), "job a continues there without this terminal"),
        (RuntimeError("WebSocket connection closed unexpectedly"), "no Ray dashboard answers"),
        (RuntimeError("Request failed with status code 404: Job a does not exist"), "no job a"),
        (RuntimeError("ValueError: Job with submission_id a already exists."), "a job a already"),
        (RuntimeError("500:\nTraceback\nOSError: disk full\n"), r"refuses \(OSError: disk full\)"),
    ],
)
def test_what_the_jobs_api_says_becomes_a_sentence(error: Exception, sentence: str) -> None:
    said = str(_sentence(error, DASHBOARD, "a"))
    with pytest.raises(ClusterError, match=sentence):
        raise ClusterError(said)
    assert "\n" not in said
    assert "s3cr3t" not in said


def test_a_token_that_is_missing_or_wrong_is_told_apart() -> None:
    assert "asks for a token" in str(refused(DASHBOARD, 401, ""))
    assert "refuses the token" in str(refused(DASHBOARD, 403, ""))
    assert "s3cr3t" not in repr(DASHBOARD)


SLOW = "The current node timed out during startup: check the address and the authentication token."


@pytest.mark.parametrize("failures", [1, 2])
def test_a_start_that_is_too_slow_for_ray_is_tried_once_more(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an address or a token from the user, that advice of Ray is left out."""
    tries: list[int] = []

    def start(*_: object) -> None:
        tries.append(1)
        if len(tries) <= failures:
            raise RuntimeError(SLOW)

    monkeypatch.setattr(connect, "_start_local", start)
    monkeypatch.setattr(connect, "patient", lambda start_s: {})

    def use() -> None:
        with connect.connected("local", connect, start_s=0.0):  # type: ignore[arg-type]
            pass

    if failures == 1:
        use()
    else:
        with pytest.raises(ClusterError, match=r"tried 2 times.*start_timeout_s") as caught:
            use()
        assert "address" not in str(caught.value)
        assert "token" not in str(caught.value)
    assert len(tries) == 2


def test_limits_of_ray_that_are_set_reach_the_nodes_of_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METARAY_HOME", str(tmp_path))
    monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "900")
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere:6379")
    found = start_cluster._environment(ClusterShape(workers=0, cpus=1, gpus=0), 0)
    assert found["RAY_gcs_server_port_wait_time_s"] == "900"
    assert found["RAY_DASHBOARD_STARTUP_TIMEOUT_S"] == "120"
    assert "RAY_ADDRESS" not in found


def test_the_cluster_of_this_machine_has_advice_that_fits() -> None:
    said = Address("127.0.0.1:6379", LOCAL_CLUSTER).remedy
    assert "metaray cluster down and up" in said
    assert "--address" not in said
