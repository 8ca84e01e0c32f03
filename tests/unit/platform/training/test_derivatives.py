"""Which path computes a run's derivatives."""

from __future__ import annotations

import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.experiment.meta import META
from metaray.platform.training.meta.blueprint import algorithm_of
from metaray.platform.training.meta.derivatives import derivatives_of


def chosen(*settings: str) -> str:
    config = META.load(None, ["workers.count=1", *settings])
    return derivatives_of(config, algorithm_of(config, (1, 28, 28), 50))


def test_rules_where_there_are_some() -> None:
    assert chosen() == "rules"
    assert chosen("workers.precision=float64", "method.second_order=recursion") == "rules"
    assert chosen("workers.derivatives=autograd") == "autograd"
    assert chosen("model.name=resnet12", "model.width=8") == "autograd"
    assert chosen("workers.precision=bfloat16") == "autograd"
    assert chosen("method.second_order=unrolled") == "autograd"


def test_the_device_does_not_matter() -> None:
    assert chosen("workers.gpus=0.5") == "rules"
    assert chosen("workers.device=cuda") == "rules"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("model.name=resnet12", "needs layers that have rules, which model.name = resnet12 with"),
        ("workers.precision=bfloat16", "computes in one precision"),
        ("method.second_order=unrolled", "is a recursion, and method.second_order = 'unrolled'"),
    ],
)
def test_rules_that_are_asked_for_and_missing(setting: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        chosen("workers.derivatives=rules", setting)
