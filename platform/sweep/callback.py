"""Who is told of the trials of a sweep."""

from __future__ import annotations

from typing import Any, Protocol

from metaray.platform.sweep.outcome import Metrics
from metaray.platform.sweep.population import Exploit


class SweepCallback(Protocol):
    """Who watches a sweep."""

    def started(self, number: int, values: dict[str, Any]) -> None:
        """A trial begins, or goes on from its checkpoint."""

    def waits(self, number: int) -> None:
        """A trial has come as far as it may go alone."""

    def on_exploit(self, takeover: Exploit) -> None:
        """A trial goes on from the parameters of another."""

    def validated(self, number: int, metrics: Metrics) -> None:
        """A trial has come this far."""

    def ended(self, number: int, state: str, metrics: Metrics, reason: str | None) -> None:
        """A trial is ``complete``, ``pruned``, ``failed`` or ``unfinished``."""
