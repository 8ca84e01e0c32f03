"""What the dashboard of a Ray cluster tells over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, build_opener

from metaray.cluster.address import with_source
from metaray.cluster.errors import ClusterError
from metaray.cluster.proxies import avoid_proxies
from metaray.cluster.versions import Versions

_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Node:
    """A node that is alive."""

    node_id: str
    ip: str
    is_head: bool
    resources: Mapping[str, float]
    """CPU, GPU and the like, in all"""


@dataclass(frozen=True)
class Dashboard:
    """The dashboard at ``url``, such as ``http://127.0.0.1:8265``, entered with ``token``."""

    url: str
    token: str | None = field(repr=False)
    named_by: str = "--address"
    """the option or the variable that its address comes from"""

    def __post_init__(self) -> None:
        avoid_proxies(urlsplit(self.url).hostname)

    @property
    def label(self) -> str:
        """Its address, with the variable that it comes from."""
        return with_source(self.url, self.named_by)

    @property
    def headers(self) -> dict[str, str]:
        """What each request carries."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def nodes(self) -> list[Node]:
        """The nodes that are alive, the head first."""
        found = self.get("/api/v0/nodes?detail=1&limit=10000")["data"]["result"]["result"]
        nodes = [
            Node(
                node_id=node["node_id"],
                ip=node["node_ip"],
                is_head=node["is_head_node"],
                resources={
                    name: amount
                    for name, amount in (node["resources_total"] or {}).items()
                    if not name.startswith("node:")
                },
            )
            for node in found
            if node["state"] == "ALIVE"
        ]
        return sorted(nodes, key=lambda node: not node.is_head)

    def versions(self) -> Versions:
        """Those on the head."""
        data = self.get("/api/v0/cluster_metadata")["data"]
        return Versions(data["rayVersion"], data["pythonVersion"])

    def unfinished_jobs(self) -> list[str]:
        """Ids of submitted jobs that have not ended."""
        return [
            job["submission_id"]
            for job in self.get("/api/jobs/")
            if job["submission_id"] and job["status"] in ("PENDING", "RUNNING")
        ]

    def adds_nodes(self) -> bool:
        """Whether an autoscaler watches over the cluster, so that it may grow."""
        status = self.get("/api/cluster_status")["data"]["clusterStatus"] or {}
        kinds = (status.get("autoscalerReport") or {}).get("nodeTypeMapping") or {}
        return any(kind != f"node_{node_id}" for node_id, kind in kinds.items())

    def get(self, path: str) -> Any:
        """The JSON at ``path``.

        Raises:
            ClusterError: nothing answers there, the token is missing or refused, or what answers
                is no dashboard of Ray.
        """
        request = Request(self.url + path, headers=self.headers)
        try:
            with build_opener().open(request, timeout=_TIMEOUT_S) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise refused(self, error.code, error.reason) from None
        except (URLError, OSError, HTTPException, UnicodeError) as error:
            raise unreachable(self, getattr(error, "reason", error)) from None
        except ValueError:
            raise ClusterError(
                f"what answers at {self.label} is not the dashboard of a Ray cluster: give its "
                "address, such as http://HOST:8265"
            ) from None


def unreachable(dashboard: Dashboard, reason: object) -> ClusterError:
    """Nothing answers."""
    said = getattr(reason, "strerror", None) or reason
    return ClusterError(
        f"no Ray dashboard answers at {dashboard.label} ({said}): check that the cluster runs "
        "and, for one elsewhere, that the port is forwarded"
    )


def refused(dashboard: Dashboard, status: int, reason: str) -> ClusterError:
    """It answers with an error."""
    if status == 401:
        return ClusterError(
            f"the cluster at {dashboard.label} asks for a token and none is set: put it into "
            "RAY_AUTH_TOKEN, or its file into RAY_AUTH_TOKEN_PATH"
        )
    if status == 403:
        return ClusterError(
            f"the cluster at {dashboard.label} refuses the token, which is another cluster's or "
            "was replaced: set RAY_AUTH_TOKEN to the present one"
        )
    return ClusterError(
        f"the dashboard at {dashboard.label} answers with an error ({status} {reason}): look at "
        "the logs of the head node"
    )
