"""Schedules and outer optimizers from outside. Those of our own are in the loop that uses them.

A schedule is a function from the share of training that is done, 0 to 1, to a factor of the
learning rate. An optimizer is called as torch's are: ``optimizer(params, lr=0.01)``; what it
remembers of a parameter must be tensors, so that checkpoints can hold it.
"""

from __future__ import annotations

from typing import Any

from pydantic import AfterValidator

from metaray.algorithms.errors import InputError
from metaray.algorithms.open_registry import Registry, not_one_of
from metaray.algorithms.plugins import is_outside, located

OUTSIDE_SCHEDULES = Registry("train.schedule", "metaray.schedules", {})
OUTSIDE_OPTIMIZERS = Registry("train.optimizer", "metaray.optimizers", {})


def one_of(registry: Registry, *own: str) -> Any:
    """The annotation of a setting that is one of our ``own`` names or one that ``registry`` finds.

    >>> from pydantic import TypeAdapter
    >>> from typing import Annotated
    >>> schedule = TypeAdapter(Annotated[str, one_of(OUTSIDE_SCHEDULES, "constant", "cosine")])
    >>> schedule.validate_python("cosine")
    'cosine'
    """

    def check(name: str) -> str:
        if name in own:
            return name
        if not is_outside(name) and name not in registry.names():
            raise InputError(not_one_of(registry.key, name, [*own, *registry.names()]))
        name = located(name)
        registry.target(name)
        return name

    return AfterValidator(check)


def rate_factor(name: str, progress: float) -> float:
    """The factor of the learning rate that the schedule ``name`` from outside gives."""
    return float(OUTSIDE_SCHEDULES.target(name)(progress))


def build_optimizer(name: str, params: Any, lr: float) -> Any:
    """The optimizer ``name`` from outside, over ``params`` as ``torch.optim.Optimizer`` takes them.

    Raises:
        InputError: it cannot be built with a learning rate alone.
    """
    try:
        return OUTSIDE_OPTIMIZERS.target(name)(params, lr=lr)
    except TypeError as error:
        raise InputError(
            f"train.optimizer = {name} cannot be built as optimizer(params, lr={lr:g}) ({error}): "
            "give its other arguments defaults"
        ) from error
