"""What Ray's own complaints become."""

from __future__ import annotations

import pytest

from metaray.cluster import connect
from metaray.cluster.dashboard import Dashboard, refused
from metaray.cluster.errors import ClusterError
from metaray.cluster.jobs import _sentence

DASHBOARD = Dashboard("http://10.0.0.5:8265", "s3cr3t")


def test_other_versions_than_the_cluster_s_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.40.0\n    Python: 3.12.1\n"
        "This process on Node was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )

    def join(*_: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(connect, "_join", join)
    with (
        pytest.raises(ClusterError, match=r"started with: Ray: 2.40.0 Python: 3.12.1 This process"),
        connect.connected("10.0.0.5:6379", connect),  # type: ignore[arg-type]
    ):
        pass


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConnectionError("Failed to connect"), "job a goes on there without this terminal"),
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
