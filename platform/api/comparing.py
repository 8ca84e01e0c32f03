"""``mr.compare``: train and test several methods under one budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metaray.platform.api.comparison import Comparison
from metaray.platform.api.datasets import Dataset
from metaray.platform.api.jobs import Job
from metaray.platform.api.methods import Method
from metaray.platform.api.models import check_importable
from metaray.platform.api.parts import Settings
from metaray.platform.api.process import console_for, ray_address, torch_settings_kept
from metaray.platform.api.settings import meta_tree, nested
from metaray.platform.callbacks.base import Callback
from metaray.platform.config.tree import Tree, get


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
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    address: str | None = None,
) -> Comparison:
    """Train and test methods under one budget, on the same episodes, over several seeds.

    Interrupting (Ctrl-C, or the stop button of a notebook) ends all runs after their current step
    with checkpoints; ``mr.load(out).resume()`` continues. Example::

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
        callbacks: follow the comparison, with events of ``metaray.platform.compare.events``, and
            can stop it; ``settings={"monitoring.callbacks": ...}`` follow each run.
        progress: show progress.
        address: Ray cluster; None: the Ray that this process uses, else a new one.

    Returns:
        The comparison, with the results of all runs.

    Raises:
        InputError: bad input, or entries that cannot be compared.
        Stopped: the comparison was interrupted; runs that had begun have a checkpoint.
    """
    from metaray.platform.compare import compare as story
    from metaray.platform.compare.make_plan import make_plan
    from metaray.platform.experiment.comparison import Budget

    def tree_of(method: Method | str) -> Tree:
        if isinstance(method, Job):  # planning says that it cannot be compared
            return nested(settings, {"job": method})
        return meta_tree(
            method, data, ways=ways, shots=shots, queries=queries, workers=workers, seed=None,
            settings=settings,
        )  # fmt: skip

    entries = [(name, tree_of(method)) for name, method in _named(methods)]
    for _, tree in entries:
        check_importable(str(get(tree, "model.name", "")), other_processes=True)
    options = story.LaunchOptions(ray_address(address), parallel, tuple(callbacks))
    with torch_settings_kept(), console_for(progress) as console:
        plan = make_plan(  # which prepares the data
            entries,
            budget=Budget.of(steps=steps, tasks=tasks, seconds=seconds),
            num_seeds=seeds,
            shots=curve_shots,
            ways=curve_ways,
            curve_episodes=curve_episodes,
            reference=reference,
        )
        results = story.compare(plan, out, options, console)
    return Comparison(results.folder)


def _named(
    methods: Sequence[Method | str] | Mapping[str, Method | str],
) -> list[tuple[str, Method | str]]:
    if isinstance(methods, Mapping):
        return list(methods.items())
    return [(method if isinstance(method, str) else method.name, method) for method in methods]
