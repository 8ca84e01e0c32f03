"""Writes ``plots/*.png`` and a ``sweep.html`` that needs no other file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError
from metaray.platform.config.loading import flat
from metaray.platform.report.style import LIGHT, Theme, write_png
from metaray.platform.report.template import Picture, render
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep import plots, population_plots, setting_plots, words
from metaray.platform.sweep.progress import figure
from metaray.platform.sweep.results import SweepResult, TrialRecord

Plot = Callable[[SweepResult, Theme], "Figure | None"]


@dataclass(frozen=True)
class _Entry:
    name: str
    title: str
    caption: str
    plot: Plot
    wide: bool = False


_PLOTS = (
    _Entry(
        "importance",
        "What mattered",
        "How much of the differences between complete trials each setting explains (fANOVA). "
        "With few trials, or with many pruned, take it as a hint.",
        plots.importance,
    ),
    _Entry(
        "history",
        "History",
        "Every trial in turn. One that was pruned, ended early, stands at its last validation, and "
        "is no result.",
        plots.history,
    ),
    _Entry(
        "pareto",
        "Pareto front",
        "No trial beats those on the front in both metrics. Numbers are those of the trials.",
        plots.pareto,
    ),
    _Entry(
        "ways_and_shots",
        "Ways and shots",
        "The best validation found for each pair, ×n for n trials.",
        plots.ways_and_shots,
    ),
    _Entry(
        "curves",
        "Learning curves",
        "Validation of every trial while it trained.",
        plots.curves,
    ),
    _Entry(
        "rates",
        "Rates",
        "The rates that made the parameters of each trial, step by step: before a trial took over "
        "from another, those of the other.",
        population_plots.rates,
        wide=True,
    ),
    _Entry(
        "slices",
        "Setting by setting",
        "Each trial against one setting at a time, the most important first; the best trial has "
        "a ring, hollow ones were pruned.",
        setting_plots.slices,
        wide=True,
    ),
    _Entry(
        "parallel",
        "All settings together",
        "A line for each complete trial; the best is the heavy one.",
        setting_plots.parallel,
        wide=True,
    ),
)


def write_page(folder: SweepDirectory, result: SweepResult) -> None:
    """Write the plots and the page, each file atomically.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        folder.plots.mkdir(exist_ok=True)
        pictures = [shown for entry in _PLOTS if (shown := _picture(folder, result, entry))]
        write_text(folder.page, _render(folder, result, pictures))
    except OSError as error:
        raise InputError(
            f"cannot write the page in {folder.path}: {error.strerror}; make room or make it "
            f"writable, then run metaray sweep --resume {folder.path}"
        ) from error


def _picture(
    folder: SweepDirectory, result: SweepResult, entry: _Entry
) -> tuple[Picture, bool] | None:
    """The picture, and whether it is wide; None where there is nothing to plot."""
    path = folder.plots / f"{entry.name}.png"
    if entry.plot(result, LIGHT) is None:
        path.unlink(missing_ok=True)
        return None

    def draw(theme: Theme) -> Figure:
        drawn = entry.plot(result, theme)
        assert drawn is not None  # it was not, for the same result
        return drawn

    write_png(draw, entry.title, path)
    return Picture.of(draw, entry.title, entry.caption), entry.wide


def _render(
    folder: SweepDirectory, result: SweepResult, pictures: list[tuple[Picture, bool]]
) -> str:
    keys = list(dict.fromkeys(key for trial in result.trials for key in trial.values))
    base = dict(flat(result.plan.base.model_dump()))
    best, kind = result.best, result.plan.kind
    return render(
        "metaray.platform.sweep",
        "sweep.html.jinja",
        title=f"Sweep of {kind.title(result.plan.base)}",
        counts=words.outcome_counts(result),
        headline=words.headline(result),
        bars=_bars(result),
        told=words.told(result),
        pictures=pictures,
        metrics=list(result.plan.metrics),
        keys=keys,
        short=[key.rpartition(".")[2] for key in keys],
        rows=[_row(result, trial, keys) for trial in _ranked(result)],
        changes=[(key, base.get(key), best.values[key]) for key in best.values] if best else [],
        takeovers=_takeovers(result),
        anew=words.anew(result),
        train=kind.full_command(result.config) if result.config else None,
        population=result.plan.scheduler == "pbt",
        changed=words.rates_changed(result),
        best_folder=str(folder.trial(best.number)) if best else None,
        folder=str(folder.path),
        storage=result.plan.storage,
        versions=result.versions,
    )


def _ranked(result: SweepResult) -> list[TrialRecord]:
    """The best first, then those that were pruned, then the rest."""
    order = ["complete", "pruned", "unfinished", "failed"]
    name = result.plan.metrics[0]
    sign = -1 if result.plan.directions[0] == "maximize" else 1

    def key(trial: TrialRecord) -> tuple[int, float, int]:
        value = trial.metrics.get(name)
        return order.index(trial.state), sign * value if value is not None else 0.0, trial.number

    return sorted(result.trials, key=key)


def _row(result: SweepResult, trial: TrialRecord, keys: list[str]) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "best": result.best is not None and trial.number == result.best.number,
        "step": trial.step,
        "metrics": [figure(name, trial.metrics.get(name)) for name in result.plan.metrics],
        "values": [words.value_text(trial.values.get(key)) for key in keys],
        "reason": trial.reason or "",
    }


def _takeovers(result: SweepResult) -> list[dict[str, Any]]:
    name = result.plan.metrics[0]
    return [
        {
            "step": takeover.step,
            "trial": takeover.trial,
            "value": figure(name, takeover.value),
            "source": takeover.source,
            "source_value": figure(name, takeover.source_value),
            "rates": ", ".join(
                f"{path.rpartition('.')[2]} {words.value_text(rate)}"
                for path, rate in takeover.rates.items()
            ),
        }
        for takeover in result.takeovers
    ]


def _bars(result: SweepResult) -> list[dict[str, Any]]:
    """The result beside what it is to be compared with, where it is an accuracy."""
    test, best = result.test, result.best
    if test is None or best is None or test["accuracy"] is None:
        return []
    return [
        {
            "label": label,
            "text": f"{value:.2%}",
            "interval": "" if ci95 is None else f"± {100 * ci95:.2f}",
            "length": round(100 * value, 2),
            "style": style,
        }
        for label, value, ci95, style in result.plan.kind.bars(test)
    ]
