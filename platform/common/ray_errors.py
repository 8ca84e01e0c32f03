"""What went wrong behind a Ray error."""

from __future__ import annotations

from ray.exceptions import RayTaskError


def cause_of(error: RayTaskError) -> Exception:
    """The exception that was raised in the other process, without Ray's wrapping."""
    cause = error.cause
    return cause if isinstance(cause, Exception) else error
