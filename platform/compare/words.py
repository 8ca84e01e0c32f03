"""A comparison in words: what was asked, under which budget, and how to read the table."""

from __future__ import annotations

from metaray.platform.common.formatting import plural
from metaray.platform.compare.results import Results


def title(results: Results) -> str:
    """How many methods on what."""
    config, count = results.plan.common, len(results.rows)
    head = f"{plural(count, 'method')} on {config.data.name}"
    if results.is_regression:
        return f"{head}, {config.task.shots} examples per task"
    return f"{head}, {config.task.ways}-way {config.task.shots}-shot"


def measured(results: Results) -> list[str]:
    """What was measured and how, a sentence each."""
    plan, config = results.plan, results.plan.common
    seeds = ", ".join(map(str, plan.seeds))
    several = len(plan.seeds) > 1
    return [
        f"Every run had {plan.budget.text}, each entry under "
        f"{f'seeds {seeds}' if several else f'seed {seeds}'}.",
        f"Under one seed all were tested on the same {config.evaluate.num_episodes:,} episodes "
        "(hashes of the first hundred agree).",
        "A step that has begun and a last validation come on top; a training whose settings end it "
        "before its time is not prolonged: see the steps and the training time."
        if plan.budget.unit == "seconds"
        else "Steps of two methods may take very different times: see the training time.",
    ]


def how_to_read(results: Results) -> list[str]:
    """How far the values of the table can be trusted, a sentence each."""
    seeds = len(results.plan.seeds)
    chosen = (
        f"{results.reference} is the best here, and was chosen for that on the same episodes, so "
        "differences to it are a little too large; name a reference beforehand with --reference "
        "to avoid that."
        if results.plan.reference is None
        else f"{results.reference} was named as the reference beforehand."
    )
    spread = (
        "Another training would give other models: SD of seeds says how far they lie apart, and "
        f"p over seeds takes each of the {seeds} seeds as one observation, which makes it honest "
        "about the methods and weak with few seeds."
        if seeds > 1
        else "There is one seed only, so nothing is said of how another training would end."
    )
    return [
        "± is half a 95 % confidence interval over all test episodes; it and the p-values of the "
        "paired t-test and of Wilcoxon's signed-rank test are about these trained models.",
        spread,
        chosen,
        "Differences are paired, episode by episode; p-values are corrected for the number of "
        "entries by Holm's method, intervals are not.",
        "Adaptation is the median time to learn one task and predict its queries on one CPU "
        "thread. Memory is the peak of the run's process, Python and libraries included; it is not "
        "known of runs with worker processes or that were taken up again for the test only.",
    ]


def left_out(results: Results) -> list[str]:
    """What the curves do not show, and why."""
    task = results.plan.common.task
    reasons: dict[str, set[str]] = {}
    for row in results.rows:
        for run in row.runs:
            for point in run.measures["curve"]:
                if "left_out" in point:
                    at = f"{row.name} at {point['ways']} ways, {point['shots']} shots"
                    reasons.setdefault(at, set()).add(point["left_out"])
    fixed = [row.name for row in results.rows if row.first.config.method.fixed_head]
    notes = [f"{at} is left out: {'; '.join(sorted(why))}." for at, why in reasons.items()]
    if fixed and len(results.plan.curves.ways) > 1:
        notes.append(f"At {task.ways} ways only, having one output per class: {', '.join(fixed)}.")
    return notes
