"""Which path computes a run's derivatives: layers with rules, or ``torch.func``."""

from __future__ import annotations

from typing import Literal

from metaray.algorithms.algorithm import Algorithm
from metaray.algorithms.errors import InputError
from metaray.platform.config.meta import RunConfig

Derivatives = Literal["rules", "autograd"]


def derivatives_of(config: RunConfig, algorithm: Algorithm) -> Derivatives:
    """What ``workers.derivatives`` stands for in a run of ``config``.

    Raises:
        InputError: rules are asked for where there are none.
    """
    asked = config.workers.derivatives
    if asked == "autograd":
        return "autograd"
    reason = _why_not(config, algorithm)
    if asked == "rules":
        if reason:
            raise InputError(f"workers.derivatives = 'rules' {reason}: use auto or autograd")
        return "rules"
    return "autograd" if reason else "rules"


def _why_not(config: RunConfig, algorithm: Algorithm) -> str:
    """Why rules cannot be used; empty where they can."""
    if not algorithm.has_rules:
        return (
            f"needs layers that have rules, which model.name = {config.model.name} with "
            f"method.name = {config.method.name} does not have"
        )
    if config.workers.precision == "bfloat16":
        return "computes in one precision, and workers.precision = 'bfloat16' in two"
    if getattr(config.method, "second_order", None) == "unrolled":
        return "is a recursion, and method.second_order = 'unrolled' asks for another form"
    return ""
