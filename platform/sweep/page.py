"""Writes ``plots/*.png`` and a ``sweep.html`` that needs no other file."""

from __future__ import annotations

from functools import partial
from typing import Any

from metaray.platform.common.formatting import value_text
from metaray.platform.config.commands import train_command
from metaray.platform.config.tree import flat
from metaray.platform.config.values import set_value
from metaray.platform.report.page_writer import (
    Bar,
    Plot,
    draw_images,
    link,
    score_bars,
    write_page,
    writing,
)
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep import plots, population_plots, setting_plots, words
from metaray.platform.sweep.progress import metric_text
from metaray.platform.sweep.results import SweepResult, TrialRecord


def write_sweep_page(folder: SweepDirectory, result: SweepResult) -> None:
    """Write the plots and the page, each file atomically.

    Raises:
        InputError: the folder cannot be written.
    """
    with writing("the page", folder.path, f"run metaray sweep --resume {folder.path}"):
        images = draw_images(_plots(result), folder.plots)
        write_page(
            folder.page,
            __package__ or "",
            "sweep.html.jinja",
            images=images,
            **_summary(result),
            **_tables(folder, result),
            **_commands(folder, result),
        )


def _plots(result: SweepResult) -> list[Plot]:
    return [
        Plot(
            name="importance",
            title="What mattered",
            caption="How much of the differences between complete trials each setting explains "
            "(fANOVA). With few trials, or with many pruned, take it as a hint.",
            draw=partial(plots.importance, result),
        ),
        Plot(
            name="history",
            title="History",
            caption="Every trial in turn. One that was pruned, ended early, stands at its last "
            "validation, and is no result.",
            draw=partial(plots.history, result),
        ),
        Plot(
            name="pareto",
            title="Pareto front",
            caption="No trial beats those on the front in both metrics. Numbers are those of the "
            "trials.",
            draw=partial(plots.pareto, result),
        ),
        Plot(
            name="ways_and_shots",
            title="Ways and shots",
            caption="The best validation found for each pair, ×n for n trials.",
            draw=partial(plots.ways_and_shots, result),
        ),
        Plot(
            name="curves",
            title="Learning curves",
            caption="Validation of every trial while it trained.",
            draw=partial(plots.curves, result),
        ),
        Plot(
            name="rates",
            title="Rates",
            caption="The rates that made the parameters of each trial, step by step: before a "
            "trial copied another, those of the other.",
            draw=partial(population_plots.rates, result),
            wide=True,
        ),
        Plot(
            name="slices",
            title="Setting by setting",
            caption="Each trial against one setting at a time, the most important first; the best "
            "trial has a ring, hollow ones were pruned.",
            draw=partial(setting_plots.slices, result),
            wide=True,
        ),
        Plot(
            name="parallel",
            title="All settings together",
            caption="A line for each complete trial; the best is the heavy one.",
            draw=partial(setting_plots.parallel, result),
            wide=True,
        ),
    ]


def _summary(result: SweepResult) -> dict[str, Any]:
    return {
        "title": f"Sweep of {result.plan.experiment.title(result.plan.base)}",
        "counts": words.outcome_counts(result),
        "headline": words.headline(result),
        "bars": _bars(result),
        "told": words.told(result),
        "versions": result.versions,
    }


def _tables(folder: SweepDirectory, result: SweepResult) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for trial in result.trials for key in trial.values))
    base, best = dict(flat(result.plan.base.model_dump())), result.best
    return {
        "metrics": list(result.plan.metrics),
        "short": [key.rpartition(".")[2] for key in keys],
        "rows": [_row(folder, result, trial, keys) for trial in _ranked(result)],
        "changes": [
            (key, _setting(base.get(key)), _setting(value)) for key, value in best.values.items()
        ]
        if best
        else [],
        "exploits": _exploits(result),
    }


def _commands(folder: SweepDirectory, result: SweepResult) -> dict[str, Any]:
    best = result.best
    return {
        "anew": words.anew(result),
        "train": train_command(result.config) if result.config else None,
        "population": result.plan.scheduler == "pbt",
        "changed": words.rates_changed(result),
        "best_folder": str(folder.trial(best.number)) if best else None,
        "folder": str(folder.path),
        "storage": result.plan.storage,
    }


def _ranked(result: SweepResult) -> list[TrialRecord]:
    """The best first, then those that were pruned, then the rest."""
    order = ["complete", "pruned", "unfinished", "failed"]
    name = result.plan.metrics[0]
    sign = -1 if result.plan.directions[0] == "maximize" else 1

    def key(trial: TrialRecord) -> tuple[int, float, int]:
        value = trial.metrics.get(name)
        return order.index(trial.state), sign * value if value is not None else 0.0, trial.number

    return sorted(result.trials, key=key)


def _row(
    folder: SweepDirectory, result: SweepResult, trial: TrialRecord, keys: list[str]
) -> dict[str, Any]:
    return {
        "number": trial.number,
        "href": link(RunDirectory(folder.trial(trial.number)).report, folder.path),
        "state": trial.state,
        "best": result.best is not None and trial.number == result.best.number,
        "step": trial.step,
        "metrics": [metric_text(name, trial.metrics.get(name)) for name in result.plan.metrics],
        "values": [value_text(trial.values.get(key)) for key in keys],
        "reason": trial.reason or "",
    }


def _exploits(result: SweepResult) -> list[dict[str, Any]]:
    name = result.plan.metrics[0]
    return [
        {
            "step": exploit.step,
            "trial": exploit.trial,
            "value": metric_text(name, exploit.value),
            "source": exploit.source,
            "source_value": metric_text(name, exploit.source_value),
            "rates": ", ".join(
                f"{path.rpartition('.')[2]} {value_text(rate)}"
                for path, rate in exploit.rates.items()
            ),
        }
        for exploit in result.exploits
    ]


def _bars(result: SweepResult) -> list[Bar]:
    """The result and its references, where it is an accuracy."""
    test = result.test
    if test is None or result.best is None or test["accuracy"] is None:
        return []
    return score_bars(result.plan.experiment.bars(test))


def _setting(value: Any) -> str:
    """As ``--set`` takes it, without digits that say nothing."""
    return f"{value:.4g}" if isinstance(value, float) else set_value(value)
