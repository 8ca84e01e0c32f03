"""How long a process of a run may give no answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median
from time import monotonic

from metaray.platform.config.schema import ComputeConfig

_LEAST_S = 60.0
_STEPS = 20
_REMEMBERED = 100  # steps


def least_patience_s(workers: ComputeConfig) -> float:
    """The limit for a process that answers beside its work."""
    return _LEAST_S if workers.stall_timeout_s is None else workers.stall_timeout_s


class Patience:
    """The limit that is set, or one that follows from the times of the run's own steps.

    >>> patience = Patience(ComputeConfig())
    >>> for step_s in (9.0, 10.0, 300.0):
    ...     patience.note_step(step_s)
    >>> patience.limit_s
    200.0
    >>> Patience(ComputeConfig(stall_timeout_s=5)).limit_s
    5.0
    """

    def __init__(self, workers: ComputeConfig) -> None:
        self._set_s = workers.stall_timeout_s
        self._start_s = workers.start_timeout_s
        self._steps: deque[float] = deque(maxlen=_REMEMBERED)

    def note_step(self, step_s: float) -> None:
        """Take in how long a step took."""
        self._steps.append(step_s)

    @property
    def limit_s(self) -> float:
        """Seconds without an answer after which a process is asked, and then replaced."""
        if self._set_s is not None:
            return self._set_s
        if not self._steps:  # the first steps load and compile
            return max(_LEAST_S, self._start_s)
        return max(_LEAST_S, _STEPS * median(self._steps))


class Silence:
    """Says that a job whose steps come from elsewhere has not been heard for long."""

    def __init__(self, workers: ComputeConfig, notify: Callable[[str], None]) -> None:
        self._patience = Patience(workers)
        self._notify = notify
        self._heard_s = monotonic()
        self._is_told = False

    @property
    def limit_s(self) -> float:
        """As of ``Patience``."""
        return self._patience.limit_s

    def note(self, steps: int, has_news: bool) -> None:
        """Take in an answer: how many steps are new, and whether anything is."""
        now = monotonic()
        silent_s = now - self._heard_s
        if steps:
            self._patience.note_step(silent_s / steps)
        if has_news:
            self._heard_s, self._is_told = now, False
        elif silent_s > self.limit_s and not self._is_told:
            self._is_told = True
            self._notify(
                f"the workers: no answer for {silent_s:.0f} s; one that does not even say that it "
                "lives is replaced"
            )
