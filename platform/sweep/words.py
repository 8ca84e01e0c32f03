"""A sweep in words."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from metaray.platform.common.formatting import margin, plural, score, score_with_margin
from metaray.platform.config.tree import flat
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep.progress import metric_text
from metaray.platform.sweep.results import SweepResult, TrialRecord


def outcome_counts(result: SweepResult) -> str:
    """``20 trials: 12 complete, 7 pruned, 1 failed``."""
    states = ("complete", "pruned", "failed", "unfinished")
    counts = [f"{len(result.having(s))} {s}" for s in states if result.having(s)]
    return f"{plural(len(result.trials), 'trial')}: {', '.join(counts)}"


def print_result(result: SweepResult, folder: Path, console: Console) -> None:
    """The result in a few lines."""
    best, test = result.best, result.test
    console.print(outcome_counts(result))
    for trial in result.having("failed"):
        console.print(f"trial {trial.number} failed: {trial.reason}")
    if best is None or test is None:
        console.print("no trial came to its end, so there is no best one")
    else:
        name = result.plan.metrics[0]
        value = metric_text(name, best.metrics[name])
        is_error = test["accuracy"] is None
        score = test["mse"] if is_error else test["accuracy"]
        found = score_with_margin(score, test["ci95"], is_error=is_error)
        tested = f"mean squared error {found}" if is_error else found
        console.print(
            Text.assemble(
                (f"best: trial {best.number}", "bold"),
                f", {name} {value} on validation; {result.plan.experiment.test_name}: ",
                (tested, "bold"),
            )
        )
        if rates_changed(result):
            console.print(
                "its rates changed while it trained, so no settings train to the same; it is in "
                f"{SweepDirectory(folder).trial(best.number)}"
            )
        else:
            console.print(f"train it again: {anew(result)} {folder / 'best.toml'}")
    console.print(f"page: {folder / 'sweep.html'}")


def headline(result: SweepResult) -> dict[str, str]:
    """The headline: a label, a score and its interval."""
    test = result.test
    if test is None:
        return {"label": "no complete trial", "score": "–", "interval": ""}
    is_error = test["accuracy"] is None
    name = "mean squared error" if is_error else "accuracy"
    return {
        "label": f"{result.plan.experiment.test_name} of the best trial, {name}",
        "score": score(test["mse" if is_error else "accuracy"], is_error=is_error, digits=1),
        "interval": margin(test["ci95"], is_error=is_error, digits=1),
    }


def told(result: SweepResult) -> list[str]:
    """How the search went and what its scores mean, a sentence each."""
    best, test, plan = result.best, result.test, result.plan
    sentences = [f"{outcome_counts(result)}."]
    if best is not None and test is not None:
        name = plan.metrics[0]
        value = metric_text(name, best.metrics[name])
        sentences.append(
            f"Trial {best.number} was the best by {name}, {value} on "
            f"{plan.experiment.validated_on(plan.base)}."
        )
        if len(result.trials) > 1:
            sentences.append("This score is optimistic: it is the best of many trials.")
        sentences.append(plan.experiment.told_of_test(test, result.num_tested))
        start = _unchanged(result)
        if start is not None and start.number != best.number and name in start.metrics:
            value = metric_text(name, start.metrics[name])
            sentences.append(
                f"Trial {start.number}, with the settings from before the sweep, had {value}"
                + (f" when it was ended at step {start.step}." if start.state == "pruned" else ".")
            )
    schedulers = {
        "none": "",
        "asha": ", and ASHA ended poor trials early",
        "hyperband": ", and asynchronous HyperBand ended poor trials early",
        "pbt": f"; every {plan.grace} outer steps the worst fifth of the trials copied the best "
        f"fifth, with changed rates ({len(result.exploits)} times)",
    }
    samplers = {"tpe": "TPE", "cmaes": "CMA-ES", "random": "random search", "grid": "a grid"}
    by = f"Values came from {samplers[plan.sampler]} with seed {plan.seed}"
    sentences.append(f"{by}{schedulers[plan.scheduler]}.")
    return sentences


def rates_changed(result: SweepResult) -> bool:
    """Whether the best trial has parameters that no one config trains to."""
    return result.best is not None and len(result.best.lineage) > 1


def _unchanged(result: SweepResult) -> TrialRecord | None:
    """The trial with the settings that the config has by itself, if it was one of them."""
    base = dict(flat(result.plan.base.model_dump()))
    own = (t for t in result.trials if all(base.get(k) == v for k, v in t.values.items()))
    return next(own, None)


def anew(result: SweepResult) -> str:
    """The command that trains the best trial from ``best.toml``."""
    return (result.config or result.plan.base).command
