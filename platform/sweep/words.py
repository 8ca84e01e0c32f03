"""A sweep in words."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from metaray.platform.config_io import flat
from metaray.platform.sweep.directory import SweepDirectory
from metaray.platform.sweep.progress import figure
from metaray.platform.sweep.results import SweepResult, TrialRecord


def outcome_counts(result: SweepResult) -> str:
    """``20 trials: 12 complete, 7 pruned, 1 failed``."""
    states = ("complete", "pruned", "failed", "unfinished")
    counts = [f"{len(result.having(s))} {s}" for s in states if result.having(s)]
    number = len(result.trials)
    return f"{number} trial{'' if number == 1 else 's'}: {', '.join(counts)}"


def print_result(result: SweepResult, folder: Path, console: Console) -> None:
    """The result in a few lines."""
    best, test = result.best, result.test
    console.print(outcome_counts(result), highlight=False)
    for trial in result.having("failed"):
        console.print(f"trial {trial.number} failed: {trial.reason}", markup=False)
    if best is None or test is None:
        console.print("no trial came to its end, so there is no best one")
    else:
        name = result.plan.metrics[0]
        tested = (
            f"{test['accuracy']:.2%} ± {test['ci95']:.2%}"
            if test["accuracy"] is not None
            else f"mean squared error {test['mse']:.4f} ± {test['ci95']:.4f}"
        )
        console.print(
            f"[bold]best: trial {best.number}[/], {name} {figure(name, best.metrics[name])} on "
            f"validation; meta-test: [bold]{tested}[/]",
            highlight=False,
        )
        if rates_changed(result):
            console.print(
                "its rates changed while it trained, so no settings train to the same; it is in "
                f"{SweepDirectory(folder).trial(best.number)}"
            )
        else:
            console.print(f"train it again: metaray train {folder / 'best.toml'}")
    console.print(f"page: {folder / 'sweep.html'}")


def headline(result: SweepResult) -> dict[str, str]:
    """The headline: a label, a score and its interval."""
    test = result.test
    if test is None:
        return {"label": "no complete trial", "score": "–", "interval": ""}
    label = "meta-test of the best trial"
    if test["accuracy"] is None:
        return {
            "label": f"{label}, mean squared error",
            "score": f"{test['mse']:.4g}",
            "interval": f"± {test['ci95']:.2g}",
        }
    score, interval = f"{test['accuracy']:.1%}", f"± {100 * test['ci95']:.1f}"
    return {"label": f"{label}, accuracy", "score": score, "interval": interval}


def told(result: SweepResult) -> list[str]:
    """How the search went and what its figures mean, a sentence each."""
    best, test, plan = result.best, result.test, result.plan
    sentences = [f"{outcome_counts(result)}."]
    if best is not None and test is not None:
        name = plan.metrics[0]
        sentences += [
            f"Trial {best.number} was the best by {name}, {figure(name, best.metrics[name])} on "
            f"{plan.base.train.validate_episodes} validation episodes.",
            "To be the best of many is partly luck, which flatters that figure.",
            "The search saw validation classes only: test classes were touched once, after it, "
            f"for this trial alone, over {test['num_episodes']:,} episodes."
            if result.num_tested <= 1
            else "The search saw validation classes only. The sweep ended and went on, so that "
            f"{result.num_tested} trials were meta-tested, each as the best of its time; no choice "
            "depended on it.",
        ]
        start = _unchanged(result)
        if start is not None and start.number != best.number and name in start.metrics:
            value = figure(name, start.metrics[name])
            sentences.append(
                f"Trial {start.number}, with the settings from before the sweep, had {value}"
                + (f" when it was ended at step {start.step}." if start.state == "pruned" else ".")
            )
    schedulers = {
        "none": "",
        "asha": ", and ASHA ended poor trials early",
        "hyperband": ", and asynchronous HyperBand ended poor trials early",
        "pbt": f"; every {plan.grace} outer steps the worst fifth of the trials took over from the "
        f"best fifth, with changed rates ({len(result.takeovers)} times)",
    }
    samplers = {"tpe": "TPE", "cmaes": "CMA-ES", "random": "random search", "grid": "a grid"}
    by = f"Values came from {samplers[plan.sampler]} with seed {plan.seed}"
    sentences.append(f"{by}{schedulers[plan.scheduler]}.")
    return sentences


def rates_changed(result: SweepResult) -> bool:
    """Whether the best trial has parameters that no one config trains to."""
    return result.best is not None and len(result.best.course) > 1


def _unchanged(result: SweepResult) -> TrialRecord | None:
    """The trial with the settings that the config has by itself, if it was one of them."""
    base = dict(flat(result.plan.base.model_dump()))
    own = (t for t in result.trials if all(base.get(k) == v for k, v in t.values.items()))
    return next(own, None)


def task(result: SweepResult) -> str:
    """The shape of the episodes that trials are validated on."""
    config = result.plan.base
    if config.data.name == "sinusoid":
        return f"{config.task.shots} examples per task"
    return f"{config.task.ways}-way {config.task.shots}-shot"


def value_text(value: object) -> str:
    """A value of a setting in a table; nothing where it was not searched."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
