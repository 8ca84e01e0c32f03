"""Whether a cluster can hold the runs of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from metaray.platform.compare.plan import Plan
from metaray.platform.distributed.resources import Resources, room_for


def check_fits(plan: Plan, nodes: Sequence[Resources]) -> None:
    """Whether each run could ever start on ``nodes``.

    Raises:
        NoRoomError: one could not; what it needs and what there is are named.
    """
    for entry in plan.entries:
        room_for(entry.config.workers, nodes).check(entry.name)
