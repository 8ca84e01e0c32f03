"""Which cluster a command means, and how it is entered.

Without an address, in this order: ``$RAY_ADDRESS``, the cluster that ``metaray cluster up`` started
on this machine, the one that ``ray start`` began here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from metaray.cluster.address import Address, address_in_environment
from metaray.cluster.dashboard import Dashboard
from metaray.cluster.errors import ClusterError
from metaray.cluster.home import token_file
from metaray.cluster.local_cluster import running_cluster
from metaray.cluster.ray_environment import (
    check_reachable,
    given_token,
    prepare,
    started_here,
)


@dataclass(frozen=True)
class Access:
    """A cluster's dashboard."""

    dashboard: Dashboard
    is_here: bool
    """whether the cluster is this machine, so that both see the same files"""


def find_access(address: str | None) -> Access:
    """The cluster that ``address`` means: ``http://HOST:8265``, HOST:PORT, or None for the default.

    Raises:
        ClusterError: there is none, or no dashboard can be found at it.
    """
    named = (
        Address(address)
        if address not in (None, "auto")
        else address_in_environment("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
    )
    cluster = running_cluster()
    if cluster is not None and (
        named is None or named.text in (cluster.address, cluster.dashboard_url)
    ):
        return Access(cluster.dashboard, is_here=True)
    if named is not None and named.is_dashboard:
        dashboard = Dashboard(named.text.rstrip("/"), given_token(), named.named_by)
        return Access(dashboard, is_here=False)
    is_here = named is None
    prepare()
    named = named or Address(started_here("name one with --address http://HOST:8265"))
    check_reachable(named)
    return Access(Dashboard(_dashboard_of(named.text), given_token(), named.named_by), is_here)


def enter_local_cluster(address: str | None) -> str | None:
    """Let Ray in this process use the token of this machine's cluster, if it is meant and up.

    Args:
        address: HOST:PORT, or None for whichever is there.

    Returns:
        Its address; None if it is not up, or another is meant.
    """
    cluster = running_cluster()
    if cluster is None or address not in (None, cluster.address):
        return None
    os.environ.pop("RAY_AUTH_TOKEN", None)  # it would win over the file
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token_file()))
    return cluster.address


def _dashboard_of(address: str) -> str:
    """The dashboard's URL, which the cluster itself knows."""
    from ray.dashboard.utils import (
        ray_address_to_api_server_url,
        ray_client_address_to_api_server_url,
    )

    ask = (
        ray_client_address_to_api_server_url
        if address.startswith("ray://")
        else ray_address_to_api_server_url
    )
    try:
        return str(ask(address))
    except Exception as error:
        said = str(error) or type(error).__name__
        raise ClusterError(
            f"the Ray cluster at {address} refuses the token, or asks for one and none is set: set "
            "RAY_AUTH_TOKEN"
            if "AuthToken" in said
            else f"the Ray cluster at {address} does not tell where its dashboard is "
            f"({said.splitlines()[0]}): give the dashboard's address, such as http://HOST:8265"
        ) from error
