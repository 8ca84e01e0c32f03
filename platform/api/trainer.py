"""``Trainer``: from method and data to a trained and tested run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from metaray.platform.api import runs
from metaray.platform.api.datasets import Dataset
from metaray.platform.api.methods import Method
from metaray.platform.api.models import check_importable
from metaray.platform.api.parts import Settings
from metaray.platform.api.process import running
from metaray.platform.api.run import Run, place_of
from metaray.platform.api.settings import meta_tree, nested
from metaray.platform.callbacks.base import Callback
from metaray.platform.config.meta import RunConfig
from metaray.platform.config.tree import merged
from metaray.platform.experiment.meta import META
from metaray.platform.run.directory import fresh_place


class Trainer:
    """Meta-trains a method on a data set.

    What is left open has the published value for method, data, ways and shots.

    >>> from metaray.platform.api.datasets import Glyphs
    >>> from metaray.platform.api.methods import ProtoNet
    >>> trainer = Trainer(ProtoNet(), Glyphs(), ways=5, shots=1)
    >>> trainer.config.task.shots
    1
    >>> run = trainer.fit(outer_steps=100, out="runs/protonet")  # doctest: +SKIP
    """

    def __init__(
        self,
        method: Method | str | None = None,
        data: Dataset | str | None = None,
        *,
        ways: int | None = None,
        shots: int | None = None,
        queries: int | None = None,
        workers: int | Settings = 0,
        seed: int | None = None,
        init: Run | str | Path | None = None,
        settings: Settings | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        address: str | None = None,
    ) -> None:
        """Check the settings; nothing is read or computed yet.

        Args:
            method: such as ``mr.MAML(mr.models.Conv4())``; MAML if left out.
            data: such as ``mr.datasets.Omniglot("data/omniglot")``; drawn glyphs if left out.
            ways: classes per episode (N).
            shots: labelled examples per class (K).
            queries: examples to predict per class.
            workers: number of Ray workers, or the settings of the section ``workers``, such as
                ``{"count": 4, "gpus": 0.5}``. 0 computes in this process, without Ray: it starts
                at once and can be debugged, and the result is the same.
            seed: root of every random choice.
            init: a run whose encoder the network starts from.
            settings: any other settings by path, such as ``{"evaluate.num_episodes": 1000}``;
                ``metaray settings`` lists them.
            callbacks: subclasses of ``mr.Callback`` that follow the run.
            progress: show progress.
            address: Ray cluster to join: "auto", "HOST:PORT" or "ray://HOST:PORT". None: the Ray
                that this process uses if ``ray.init`` was called, else a new one that ends with
                the run.

        Raises:
            InputError: unknown or wrong settings, or settings that exclude each other.
        """
        self._tree = meta_tree(
            method,
            data,
            ways=ways,
            shots=shots,
            queries=queries,
            workers=workers,
            seed=seed,
            settings=settings,
            checkpoint=None if init is None else place_of(init),
        )
        self._callbacks, self._progress, self._address = tuple(callbacks), progress, address
        self.config: RunConfig = META.resolve(self._tree)
        check_importable(self.config.model.name, self.config.workers.count > 0)

    def fit(
        self,
        *,
        out: str | Path | None = None,
        outer_steps: int | None = None,
        time_budget_s: float | None = None,
        meta_batch_size: int | None = None,
        meta_lr: float | None = None,
        validate_every: int | None = None,
        **train: Any,
    ) -> Run:
        """Meta-train, test on classes that training never saw, and write a report.

        Interrupting (Ctrl-C, or the stop button of a notebook) ends training after the current
        step with a checkpoint; ``mr.load(out).resume()`` continues.

        Args:
            out: new folder for the run, or an ``s3://``, ``gs://`` or ``file://`` URI; None: a
                name with the time in ``runs``.
            outer_steps: updates of the meta-parameters.
            time_budget_s: end training after this time, in seconds.
            meta_batch_size: tasks per outer step.
            meta_lr: outer step size at the start.
            validate_every: outer steps between validations; 0: never.
            **train: other settings of the section ``train``, such as ``schedule="cosine"``.

        Returns:
            The run, trained and tested.

        Raises:
            InputError: bad input; at most an empty folder has been created.
            TrainingError: the run cannot continue; its last checkpoint is kept.
            Stopped: the run was interrupted; there is a checkpoint.
        """
        given = {
            "outer_steps": outer_steps,
            "time_budget_s": time_budget_s,
            "meta_batch_size": meta_batch_size,
            "meta_lr": meta_lr,
            "validate_every": validate_every,
        }
        config = META.resolve(merged(self._tree, nested(None, {"train": given | train})))
        place = str(out or fresh_place(runs.name_of(config)))
        with running(self._progress, self._address, self._callbacks) as (address, callbacks):
            runs.new(config, place, address, callbacks)
        return Run(place)

    @override
    def __repr__(self) -> str:
        return f"Trainer({runs.title_of(self.config)})"
