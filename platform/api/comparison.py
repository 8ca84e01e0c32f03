"""Comparisons of methods from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaray.algorithms.errors import InputError
from metaray.platform.api.datasets import Dataset
from metaray.platform.api.methods import Method
from metaray.platform.api.models import check_importable
from metaray.platform.api.parts import Settings
from metaray.platform.api.process import console_for, ray_address, torch_settings_kept
from metaray.platform.api.run import Run
from metaray.platform.api.settings import meta_tree
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.experiment.meta import META
from metaray.platform.run.directory import fresh_place
from metaray.platform.run.storage.working_copy import shared_folder

if TYPE_CHECKING:
    import pandas as pd

    from metaray.platform.compare.results import Results


class Comparison:
    """The result of ``compare``.

    Attributes:
        folder: with ``compare.html``, the plots, and a run directory for each run.
        summary: all numbers, as in ``summary.json``.
    """

    def __init__(self, folder: Path, results: Results) -> None:
        self.folder = folder
        self.summary = results.summary()
        self._results = results

    @property
    def best(self) -> str:
        """Name of the entry with the best score."""
        return self._results.rows[0].name

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each entry, the best first.

        ``accuracy`` (or ``mse``) and ``ci95`` are over the episodes of all seeds; ``difference``
        is to the reference, with p-values corrected by Holm's method.
        """
        import pandas as pd

        return pd.DataFrame([self._row(entry) for entry in self.summary["entries"]]).set_index(
            "entry"
        )

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """A row for each run and test episode."""
        return self._results.episodes().to_pandas()

    def run(self, entry: str, seed: int) -> Run:
        """One of the runs; InputError if there is none with a result."""
        for row in self._results.rows:
            for found in row.runs:
                if (row.name, found.folder.seed) == (entry, seed):
                    return Run(found.folder.path)
        raise InputError(f"{self.folder} has no result of {entry} with seed {seed}")

    def __repr__(self) -> str:
        return f"Comparison({str(self.folder)!r}, best {self.best})"

    def _repr_html_(self) -> str:
        html: str = self.table.to_html(float_format="{:.4g}".format)
        return html

    def _row(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        score, difference = entry["score"], entry["difference"] or {}
        return {
            "entry": entry["entry"],
            self.summary["score"]: score["mean"],
            "ci95": score["ci95"],
            "seed_sd": score["seed_sd"],
            "difference": difference.get("mean"),
            "difference_ci95": difference.get("ci95"),
            **{key: difference.get(key) for key in ("p_t", "p_wilcoxon", "p_seeds")},
            **{
                key: entry[key] for key in ("train_s", "outer_steps", "tasks_per_s", "adaptation_s")
            },
            "num_parameters": entry["num_parameters"],
        }


def compare(
    methods: Sequence[Method | str] | Mapping[str, Method | str],
    data: Dataset | str | None = None,
    *,
    steps: int | None = None,
    tasks: int | None = None,
    seconds: float | None = None,
    seeds: int = 3,
    ways: int | None = None,
    shots: int | None = None,
    queries: int | None = None,
    curve_ways: Sequence[int] | None = None,
    curve_shots: Sequence[int] | None = None,
    curve_episodes: int = 100,
    reference: str | None = None,
    out: str | Path | None = None,
    parallel: int | None = None,
    workers: int | Settings = 0,
    settings: Settings | None = None,
    progress: bool = True,
    address: str | None = None,
) -> Comparison:
    """Train and test methods under one budget, on the same episodes, over several seeds.

    Example::

        result = mr.compare([mr.MAML(), mr.ProtoNet()], data, steps=1000, shots=5)
        print(result.table)

    Args:
        methods: the entries; a mapping gives them names, else the method's name is used.
        data: the data set of all entries; drawn glyphs if left out.
        steps: budget of each run in outer steps. Give one of ``steps``, ``tasks``, ``seconds``.
        tasks: budget of each run in training tasks.
        seconds: budget of each run in seconds of training.
        seeds: trainings of each entry.
        ways: classes per episode (N).
        shots: labelled examples per class (K).
        queries: examples to predict per class.
        curve_ways: numbers of ways at which each method is measured besides.
        curve_shots: numbers of shots at which each method is measured besides.
        curve_episodes: test episodes at each of these points.
        reference: entry that the others are compared to; the best one if left out.
        out: new folder, on a disk that all nodes share; None: a name with the time in ``runs``.
        parallel: runs at once; as many as there is room for if left out.
        workers: Ray workers of each run, or the settings of the section ``workers``; 0: one
            process for each run.
        settings: any other settings of all entries by path.
        progress: show progress.
        address: Ray cluster; None: the Ray that this process uses, else a new one.

    Raises:
        InputError: bad input, or entries that cannot be compared.
        Stopped: the comparison was interrupted.
    """
    from metaray.platform.compare import compare as story
    from metaray.platform.compare.make_plan import plan_of
    from metaray.platform.compare.plan import Budget

    given = {"steps": steps, "tasks": tasks, "seconds": seconds}
    budgets = {unit: amount for unit, amount in given.items() if amount is not None}
    if len(budgets) != 1:
        raise InputError("a comparison needs one budget for all: give steps, tasks or seconds")
    ((unit, amount),) = budgets.items()
    entries = {
        name: meta_tree(
            method, data, ways=ways, shots=shots, queries=queries, workers=workers, seed=None,
            settings=settings,
        )
        for name, method in _named(methods)
    }  # fmt: skip
    configs = [(name, META.resolve(tree)) for name, tree in entries.items()]
    for _, config in configs:
        check_importable(config.model.name, other_processes=True)
    folder = shared_folder(str(out or fresh_place("compare")), "a comparison")
    with torch_settings_kept(), console_for(progress) as console:
        plan = plan_of(  # which prepares the data
            configs,
            budget=Budget.model_validate({"unit": unit, "amount": amount}),
            num_seeds=seeds,
            shots=curve_shots,
            ways=curve_ways,
            curve_episodes=curve_episodes,
            reference=reference,
        )
        results = story.compare(plan, folder, ray_address(address), parallel, console)
    return Comparison(CompareDirectory(folder).path, results)


def _named(
    methods: Sequence[Method | str] | Mapping[str, Method | str],
) -> list[tuple[str, Method | str]]:
    if isinstance(methods, Mapping):
        return list(methods.items())
    return [(method if isinstance(method, str) else method.name, method) for method in methods]
