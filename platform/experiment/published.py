"""Results of papers whose schedule is a setting away, and the band that a run should land in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metaray.algorithms.errors import InputError
from metaray.platform.common.formatting import percent
from metaray.platform.config.loading import changed_keys
from metaray.platform.experiment.meta import META
from metaray.platform.run.directory import RunDirectory

_OMNIGLOT = ("data.name=omniglot", "data.split=vinyals", "method.name=protonet")
_CURVES = (
    "data.name=sinusoid", "data.frequencies=[0.8,1.2]", "method.inner_steps=1",
    "method.eval_inner_steps=1", "train.meta_batch_size=4", "train.shard_size=4",
    "train.outer_steps=60000", "train.validate_every=5000", "workers.count=0",
)  # fmt: skip
_WITHOUT_EFFECT = (
    "data.root", "data.cache", "data.download", "workers.", "monitoring.", "evaluate.num_episodes",
    "train.checkpoint_every",
)  # fmt: skip
"""settings that leave a schedule as it was published"""
# not checked in print again; docs/results.md says so
_MAML = "Finn et al. 2017 (arXiv 1703.03400), table 1"
_META_SGD = "Li et al. 2017 (arXiv 1707.09835), table 1"
_PROTONET = "Snell et al. 2017 (arXiv 1703.05175), table 1"


class Published(NamedTuple):
    """A row of a paper's table."""

    what: str
    """method, data and task"""
    source: str
    """paper and table"""
    settings: tuple[str, ...]
    """of its published schedule, as ``--set`` takes them; what they leave open is as published"""
    value: float
    within: float
    """how far from ``value`` a run may land: the published interval, or a point of accuracy"""
    metric: str
    """its name in a run's ``summary.json``: ``accuracy`` or ``mse``"""
    needs: str = ""
    """a setting that the user has to give"""

    def shown(self, value: float) -> str:
        """A value of its metric, for people."""
        return percent(value, 2) if self.metric == "accuracy" else f"{value:.3f}"


def _curves(method: str, shots: int, value: float, within: float) -> Published:
    own = (f"method.name={method}", f"task.shots={shots}", f"task.queries={shots}")
    what = f"{method}, sinusoids of varying frequency, {shots} examples, one inner step"
    return Published(what, _META_SGD, (*_CURVES, *own), value, within, "mse")


def _protonet(ways: int, shots: int, value: float) -> Published:
    own = (f"task.ways={ways}", f"task.shots={shots}")
    what = f"protonet, Omniglot, {ways}-way {shots}-shot"
    return Published(
        what, _PROTONET, (*_OMNIGLOT, *own), value, 0.01, "accuracy", needs="data.root"
    )


def _maml_without_convolutions(shots: int, value: float, within: float) -> Published:
    own = (
        "data.name=omniglot", "data.split=random", "evaluate.rotations=classes", "method.name=maml",
        "model.name=mlp_norm", "task.ways=5", f"task.shots={shots}",
    )  # fmt: skip
    what = f"maml without convolutions, Omniglot, 5-way {shots}-shot"
    return Published(what, _MAML, own, value, within, "accuracy", needs="data.root")


PUBLISHED: dict[str, Published] = {
    "maml-sinusoid-5": _curves("maml", 5, 1.13, 0.18),
    "metasgd-sinusoid-5": _curves("metasgd", 5, 0.90, 0.16),
    "maml-sinusoid-10": _curves("maml", 10, 0.77, 0.11),
    "metasgd-sinusoid-10": _curves("metasgd", 10, 0.53, 0.09),
    "maml-mlp-omniglot-5way-1shot": _maml_without_convolutions(1, 0.897, 0.011),
    "maml-mlp-omniglot-5way-5shot": _maml_without_convolutions(5, 0.975, 0.006),
    "protonet-omniglot-5way-1shot": _protonet(5, 1, 0.988),
    "protonet-omniglot-5way-5shot": _protonet(5, 5, 0.997),
    "protonet-omniglot-20way-1shot": _protonet(20, 1, 0.960),
    "protonet-omniglot-20way-5shot": _protonet(20, 5, 0.989),
}


def published(name: str) -> Published:
    """The row ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in PUBLISHED:
        raise InputError(f"{name!r} is none of the published results: {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def settings_of(row: Published, overrides: Sequence[str]) -> list[str]:
    """What ``row`` sets, and ``overrides`` on top.

    Raises:
        InputError: a setting that only the user can give is missing.
    """
    if row.needs and not any(one.startswith(f"{row.needs}=") for one in overrides):
        raise InputError(
            f"{row.what} needs {row.needs}: add --set {row.needs}=PATH, where the data lies"
        )
    return [*row.settings, *overrides]


def changed_in(run: RunDirectory, row: Published) -> list[str]:
    """Settings of ``run`` that make its schedule another one than that of ``row``."""
    has = META.read(run.config)
    should = META.load(None, list(row.settings))
    return [key for key in changed_keys(should, has) if not key.startswith(_WITHOUT_EFFECT)]


def verdict(row: Published, summary: Mapping[str, Any], changed: Sequence[str]) -> str:
    """Whether the result of a run lies in the band; ``changed`` are settings that differ."""
    found = float(summary[row.metric])
    low, high = row.value - row.within, min(row.value + row.within, _most(row))
    band = f"{row.shown(low)} to {row.shown(high)}"
    line = f"published {row.shown(row.value)} ({row.source}); here {row.shown(found)}"
    if changed:
        return f"{line}, with other settings than published: {', '.join(changed)}"
    better = found > high if row.metric == "accuracy" else found < low
    if better:
        return f"{line}: better than the expected {band}"
    return f"{line}: {'within' if low <= found <= high else 'outside'} the expected {band}"


def _most(row: Published) -> float:
    return 1.0 if row.metric == "accuracy" else float("inf")
