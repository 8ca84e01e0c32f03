"""What ``metaray compare`` can be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.config.request import Nodes, Request, argument, option

if TYPE_CHECKING:
    from metaray.platform.compare.plan import Plan


@dataclass(frozen=True, kw_only=True)
class CompareRequest(Request):
    """A new comparison, or one to continue."""

    command: ClassVar[str] = "compare"
    configs: list[Path] | None = argument(
        "Settings in TOML, an entry each; the file gives it its name.", role="config"
    )
    methods: str | None = option(
        "Methods, an entry each with its published settings: a,b,c or all.", "--methods"
    )
    overrides: list[str] | None = option(
        "Set one setting for all entries.", "--set", metavar="KEY=VALUE"
    )
    steps: int | None = option("Budget: outer steps.", "--steps", least=1)
    tasks: int | None = option("Budget: training tasks.", "--tasks", least=1)
    time: float | None = option(
        "Budget: seconds of training, validations too.", "--time", least=0.001
    )
    seeds: int | None = option("Trainings of each entry [3].", "--seeds", least=1)
    shots: str | None = option(
        "Shots of the curve, like 1,5,20 [1 to 20 as data allows].", "--shots"
    )
    ways: str | None = option("Ways of the curve, like 5,10 [2 to 20 as data allows].", "--ways")
    curve_episodes: int | None = option(
        "Test episodes at each point of the curves [100].", "--curve-episodes", least=2
    )
    reference: str | None = option(
        "Entry that the others are compared to [the best one].", "--reference"
    )
    out: str | None = option(
        "New folder [runs/compare-TIME].", "--out", metavar="PATH", role="new run"
    )
    resume: Path | None = option(
        "Comparison to continue: finished runs are kept.", "--resume", role="earlier run"
    )
    parallel: int | None = option(
        "Runs at once [as many as there is room for].", "--parallel", least=1, when_resuming=True
    )

    @override
    def check(self, nodes: Nodes) -> Iterator[str]:
        from metaray.platform.callbacks.monitored import check_callbacks
        from metaray.platform.compare.placement import check_fits

        plan = self.planned()
        for entry in plan.entries:
            check_callbacks(entry.config_of(0).monitoring)
        check_fits(plan, nodes)
        yield from plan.notes

    def planned(self) -> Plan:
        """The new comparison.

        Raises:
            InputError: an option or a setting is wrong, or entries cannot be compared.
        """
        from metaray.platform.compare.make_plan import make_plan, named_entries
        from metaray.platform.experiment.comparison import Budget

        budget = Budget.of(steps=self.steps, tasks=self.tasks, seconds=self.time)
        chosen: dict[str, Any] = {"num_seeds": self.seeds, "curve_episodes": self.curve_episodes}
        return make_plan(
            named_entries(self.configs or [], self.methods, self.overrides or []),
            budget=budget,
            shots=parse_numbers("--shots", self.shots),
            ways=parse_numbers("--ways", self.ways),
            reference=self.reference,
            **{key: value for key, value in chosen.items() if value is not None},
        )


def parse_numbers(option: str, text: str | None) -> list[int] | None:
    """``1,5,20`` as numbers; None stays None.

    Raises:
        InputError: one is no positive whole number.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"{option} takes whole numbers from 1 like 1,5,20, got {text!r}")
    return sorted({int(part) for part in parts})
