"""A comparison in words: what was asked, under which budget, and how to read the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metaray.platform.common.formatting import score_with_margin
from metaray.platform.compare.paired import Difference
from metaray.platform.compare.results import Results

_LEVEL = 0.05  # of significance


def title(results: Results) -> str:
    """How many entries on what."""
    return results.plan.comparison.title(results.plan.common, len(results.rows))


def verdict(results: Results) -> list[str]:
    """Which entry is best, and which differences are more than chance, a sentence each."""
    best = results.rows[0]
    value = score_with_margin(best.score.mean, best.score.ci95, is_error=results.is_regression)
    name = "mean squared error" if results.is_regression else "accuracy"
    if len(results.rows) == 1:
        return [f"{best.name} has a test {name} of {value}."]
    sentences = [f"{best.name} has the best {name}: {value}."]
    sentences += _differences(
        results, "For these trained models", lambda d: max(d.p_t, d.p_wilcoxon)
    )
    seeds = len(results.plan.seeds)
    sentences += _differences(results, f"Over the {seeds} seeds", lambda d: d.p_seeds)
    if seeds == 1:
        sentences.append("One seed cannot show whether another training would end the same way.")
    return sentences


def _differences(
    results: Results, over: str, p_value: Callable[[Difference], float | None]
) -> list[str]:
    """Which entries differ from the reference by more than chance, and which do not."""
    groups: dict[str, list[str]] = {"better": [], "worse": [], "not clearly different": []}
    for row in results.rows:
        p = None if row.difference is None else p_value(row.difference)
        if row.difference is None or p is None:
            continue
        higher = row.difference.mean > 0
        clear = "better" if higher != results.is_regression else "worse"
        groups[clear if p < _LEVEL else "not clearly different"].append(row.name)
    parts = [
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {how}"
        for how, names in groups.items()
        if names
    ]
    if not parts:
        return []
    *first, last = parts
    told = f"{', '.join(first)}, and {last}" if first else last
    return [f"{over}, compared with {results.reference}, {told} (p < {_LEVEL} counts as clear)."]


def measured(results: Results) -> list[str]:
    """What was measured and how, a sentence each."""
    plan = results.plan
    seeds = ", ".join(map(str, plan.seeds))
    several = len(plan.seeds) > 1
    return [
        f"Every run had {plan.budget.text}, each entry under "
        f"{f'seeds {seeds}' if several else f'seed {seeds}'}.",
        f"Under one seed all were tested on the same {results.test['num_episodes']:,} episodes"
        f"{_drawn(results.test)} "
        "(hashes of the first hundred agree).",
        "A step that has begun and a last validation come on top; a training whose settings end it "
        "before its time is not prolonged: see the steps and the training time."
        if plan.budget.unit == "seconds"
        else "Steps of two methods may take very different times: see the training time.",
    ]


def _drawn(test: Mapping[str, Any]) -> str:
    """What the classes of an episode are drawn from, where that is not all upright classes."""
    group = " within a group" if test.get("within_group") else ""
    turned = " with quarter turns as classes" if test.get("rotations") == "classes" else ""
    return group + turned


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
        *_over_classes(results),
        spread,
        chosen,
        "Differences are paired, episode by episode; p-values are corrected for the number of "
        "entries by Holm's method, intervals are not.",
        "Adaptation is the median time to learn one task and predict its queries on one CPU "
        "thread. Memory is the peak of the run's process, Python and libraries included; it is not "
        "known of runs with worker processes or that were taken up again for the test only.",
    ]


def _over_classes(results: Results) -> list[str]:
    """What the interval over classes says, where the tests have one."""
    counts = {
        run.record.summary.get("num_test_classes") for row in results.rows for run in row.runs
    }
    count = max(filter(None, counts), default=0)
    if not count or all(row.mean("classes_ci95") is None for row in results.rows):
        return []
    return [
        f"The test has {count:,.0f} classes. Over classes is half a 95 % interval for other "
        "classes (bootstrap over classes and their images, mean over the seeds). All entries are "
        "tested on the same classes, so it says how far accuracies hold elsewhere, not which entry "
        "is better."
    ]


def left_out(results: Results) -> list[str]:
    """What the curves do not show, and why."""
    reasons: dict[str, set[str]] = {}
    for row in results.rows:
        for run in row.runs:
            for point in run.measures["curve"]:
                if "left_out" in point:
                    at = f"{row.name} at {point['ways']} ways, {point['shots']} shots"
                    reasons.setdefault(at, set()).add(point["left_out"])
    notes = [f"{at} is left out: {'; '.join(sorted(why))}." for at, why in reasons.items()]
    configs = {row.name: row.runs[0].config for row in results.rows}
    return notes + results.plan.comparison.limits(configs, results.plan.curves)
