"""The address of a cluster, and who named it, so that advice is about what was really given."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from metaray.cluster.errors import ClusterError

LOCAL_CLUSTER = "metaray cluster up"
"""what names the cluster of this machine, where the user named none"""
RAY_START = "ray start"
"""what names another Ray of this machine, where the user named none"""
_WEB = ("http", "https")
_FORMS = "HOST:PORT, ray://HOST:PORT or, for commands about jobs, http://HOST:8265"


@dataclass(frozen=True)
class Address:
    """HOST:PORT, ``ray://HOST:PORT``, or the ``http://HOST:PORT`` of a dashboard.

    Raises:
        ClusterError: it has none of these forms, or holds a password, which is not shown.
    """

    text: str
    named_by: str = "--address"
    """the option or the variable that it comes from"""

    def __post_init__(self) -> None:
        if "@" in self.text:
            raise ClusterError(
                f"{self.named_by} holds a user name or a password, which Ray does not take: give "
                "the address without it, and put the token of the cluster into RAY_AUTH_TOKEN"
            )
        if not self._is_sound:
            raise ClusterError(
                f"{self.named_by} = {self.text!r} is not a cluster address: use {_FORMS}"
            )

    @property
    def is_dashboard(self) -> bool:
        """Whether it is that of a dashboard, which jobs are sent to but no process can join."""
        return self.text.startswith(("http://", "https://"))

    @property
    def remedy(self) -> str:
        """What to do where nothing can be done with it."""
        if self.named_by == LOCAL_CLUSTER:
            return "look at metaray cluster status, or run metaray cluster down and up"
        if self.named_by == RAY_START:
            return "look at ray status, or end it with ray stop and start it again"
        if self.named_by == "--address":
            return "check the address, or leave out --address to run on this machine"
        return f"set {self.named_by} to the address of a cluster that runs, or unset it"

    @property
    def label(self) -> str:
        """It, with the variable that it comes from."""
        return with_source(self.text, self.named_by)

    @property
    def _is_sound(self) -> bool:
        if not self.text.isprintable() or any(c.isspace() for c in self.text):
            return False
        try:
            parts = urlsplit(self.text if "://" in self.text else f"//{self.text}")
            port = parts.port
        except ValueError:
            return False
        known = parts.scheme in ("", "ray", *_WEB)
        return known and bool(parts.hostname) and (port is not None or parts.scheme in _WEB)


def with_source(address: str, named_by: str) -> str:
    """``address``, with the variable that it comes from."""
    return address if named_by == "--address" else f"{address} (from {named_by})"


def address_in_environment(*names: str) -> Address | None:
    """The address in the first of the variables that is set."""
    for name in names:
        if text := os.environ.get(name):
            return Address(text, name)
    return None
