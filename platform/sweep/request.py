"""What ``metaray sweep`` can be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from metaray.platform.config.request import Nodes, Request, argument, option

if TYPE_CHECKING:
    from metaray.platform.sweep.plan import SweepPlan


@dataclass(frozen=True, kw_only=True)
class SweepRequest(Request):
    """A new sweep, or one to continue."""

    command: ClassVar[str] = "sweep"
    config: Path | None = argument("Settings in TOML that all trials share.", role="config")
    overrides: list[str] | None = option(
        "Set one setting of all trials; it is not searched.", "--set", metavar="KEY=VALUE"
    )
    space: Path | None = option(
        "What to vary: ranges in .toml, or .py [those of the method or job].",
        "--space",
        role="file",
    )
    num_trials: int | None = option("Trials [20].", "--num-trials", least=1, when_resuming=True)
    time_budget: float | None = option(
        "Seconds after which to end the search.", "--time-budget", least=0.001, when_resuming=True
    )
    metric: str | None = option(
        "What to optimize: val_accuracy, val_loss, val_mse; for a Pareto front with adapt_s or "
        "wall_s after a comma [val_accuracy or val_mse].",
        "--metric",
    )
    sampler: str | None = option(
        "What proposes values: tpe, cmaes, random or grid [tpe].", "--sampler"
    )
    scheduler: str | None = option(
        "What ends poor trials early: asha, hyperband or none; pbt changes rates while trials run "
        "[asha; none for several metrics].",
        "--scheduler",
    )
    grace: int | None = option(
        "Steps before a trial may be ended, and between the comparisons of pbt [validate_every].",
        "--grace",
        least=1,
    )
    seed: int | None = option("Seed of the sampler [0].", "--seed", least=0)
    parallel: int | None = option(
        "Trials at once [as many as there is room for].", "--parallel", least=1, when_resuming=True
    )
    out: str | None = option(
        "New folder [runs/sweep-METHOD|JOB-DATA-TIME].", "--out", metavar="PATH", role="new run"
    )
    resume: Path | None = option(
        "Sweep to continue: what is finished is kept.", "--resume", role="earlier run"
    )
    storage: str | None = option(
        "Optuna storage, such as postgresql://... [a file in --out].",
        "--storage",
        variable="METARAY_STORAGE",
        when_resuming=True,
    )

    @override
    def check(self, nodes: Nodes) -> Iterator[str]:
        from metaray.platform.callbacks.monitored import check_callbacks
        from metaray.platform.distributed.resources import trials_at_once

        base = self.planned()[0].base
        check_callbacks(base.monitoring)
        trials_at_once(base.workers, nodes)
        yield from ()

    def planned(self) -> tuple[SweepPlan, Path]:
        """The new sweep, and its folder.

        Raises:
            InputError: an option or a setting is wrong, or two exclude each other.
        """
        from metaray.platform.config.loading import read_toml, with_overrides
        from metaray.platform.config.tree import flat
        from metaray.platform.sweep.new_plan import new_plan

        settings = read_toml(self.config) if self.config else {}
        overrides = self.overrides or []
        return new_plan(
            with_overrides(settings, overrides),
            set_keys=[key for key, _ in flat(with_overrides({}, overrides))],
            space=self.space,
            out=self.out,
            storage=self.storage,
            metrics=tuple(self.metric.split(",")) if self.metric else None,
            num_trials=self.num_trials,
            sampler=self.sampler,
            scheduler=self.scheduler,
            grace=self.grace,
            seed=self.seed,
        )
