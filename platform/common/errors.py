"""Errors of a run that are not the user's input."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """A run cannot continue. The message says what happened and what to do, without a traceback."""


class NonFiniteError(TrainingError):
    """A loss or gradient became infinite or NaN; raised before anything was updated."""


class WorkersLostError(TrainingError):
    """Workers died more often than the settings allow, or none could be started."""


class RayEndedError(TrainingError):
    """The Ray that a run uses is gone: no worker can be started any more."""


class Stopped(Exception):
    """The run was asked to stop and has saved a checkpoint."""


class LearnerLostError(RuntimeError):
    """The learner's process is gone: the run goes back to its last checkpoint."""


class StateLostError(RuntimeError):
    """The parameters of a step went down with the node that kept them, before workers had them."""


def first_line(error: BaseException) -> str:
    """What an error says, without the lines that follow; its class where it says nothing.

    >>> first_line(ValueError("no such axis\\n  at layer 3"))
    'no such axis'
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
