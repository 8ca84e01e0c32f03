"""Population-based training (Jaderberg et al. 2017): rates that change while trials run.

The trials are brought to the same outer step. There the worst fifth take over the checkpoint of one
of the best fifth (truncation selection) and continue with its rates, each times 0.8 or 1.2, as in
the paper's experiments. The paper's workers decide whenever they are ready; here all are at the
same step, so that a sweep has the same result however many trials run at once, killed or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from metaray.algorithms.errors import InputError
from metaray.platform.sweep.plan import SweepPlan
from metaray.tune_spaces.space import Float, Space

_SHARE = 0.2
_FACTORS = (0.8, 1.2)

Rates = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Exploit:
    """One trial continues from another's parameters."""

    step: int
    """outer step of the checkpoint that was taken over"""
    trial: int
    source: int
    """the trial whose checkpoint it was"""
    value: float
    """metric of the trial at that step, which it gave up"""
    source_value: float
    rates: Rates
    """from that step on, by path"""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def rates_in(space: Space, plan: SweepPlan) -> Space:
    """The part of ``space`` that a population may search."""
    return {path: space[path] for path in plan.experiment.rates(plan.base) if path in space}


def check_population(plan: SweepPlan, space: object) -> None:
    """Refuse what cannot be a population.

    Raises:
        InputError: settings that are no rates, steps that do not fit, or too few trials.
    """
    allowed, every = plan.experiment.rates(plan.base), plan.base.train.validate_every or 1
    if not isinstance(space, dict):
        raise InputError("--scheduler pbt needs a space in TOML, of rates: see docs/sweeps.md")
    others = [
        path
        for path, dimension in space.items()
        if path not in allowed or not isinstance(dimension, Float) or dimension.when
    ]
    if others:
        raise InputError(
            f"--scheduler pbt changes settings while trials run, which {', '.join(others)} cannot "
            f"be: leave only ranges of type float, without conditions, of {' and '.join(allowed)}"
        )
    if plan.num_trials < 2:
        raise InputError("--scheduler pbt needs a population: set --num-trials to 2 or more")
    if plan.grace % every:
        raise InputError(
            f"--scheduler pbt compares trials every {plan.grace} outer steps (--grace), which must "
            f"be a multiple of train.validate_every = {every}"
        )
    if plan.grace >= plan.steps:
        raise InputError(
            f"--scheduler pbt would compare trials after {plan.grace} outer steps, but they end "
            f"after {plan.steps}: set --grace lower"
        )


def exploits_at(
    step: int,
    plan: SweepPlan,
    space: Space,
    values: Mapping[int, float],
    rates: Mapping[int, Rates],
) -> list[Exploit]:
    """Who takes over from whom at ``step``.

    Args:
        step: the outer step at which all trials are.
        plan: for its seed and the direction of its metric.
        space: ranges that the new rates stay in.
        values: the metric of each trial at ``step``.
        rates: those that each trial has had up to ``step``.
    """
    sign = -1 if plan.directions[0] == "maximize" else 1
    ranked = sorted(values, key=lambda number: (sign * values[number], number))
    count = min(max(1, round(_SHARE * len(ranked))), len(ranked) // 2)
    best, worst = ranked[:count], ranked[len(ranked) - count :]
    found = []
    for number in worst:
        rng = np.random.default_rng([plan.seed, step, number])
        source = best[int(rng.integers(count))]
        if values[source] == values[number]:
            continue
        found.append(
            Exploit(
                step=step,
                trial=number,
                source=source,
                value=values[number],
                source_value=values[source],
                rates=_perturbed(rates[source], space, rng),
            )
        )
    return found


def lineage(
    number: int, start: Mapping[int, Rates], exploits: Iterable[Exploit]
) -> list[tuple[int, Rates]]:
    """The rates that made a trial's parameters, each with the step from which it held.

    Before an exploit they are those of the trial that it copied.
    """
    known = sorted(exploits, key=lambda exploit: exploit.step)
    changes: list[tuple[int, Rates]] = []
    at, before = number, float("inf")
    while True:
        last = next((t for t in reversed(known) if t.trial == at and t.step < before), None)
        if last is None:
            return [(0, start[at]), *reversed(changes)]
        changes.append((last.step, last.rates))
        at, before = last.source, last.step


def _perturbed(rates: Rates, space: Space, rng: np.random.Generator) -> Rates:
    perturbed = {}
    for path, rate in rates.items():
        dimension = space[path]
        assert isinstance(dimension, Float)  # as checked
        perturbed[path] = float(np.clip(rate * rng.choice(_FACTORS), *dimension.ends))
    return perturbed
