"""Transfer jobs from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metaray.platform.api import runs
from metaray.platform.api.datasets import Dataset
from metaray.platform.api.jobs import Job
from metaray.platform.api.models import Model
from metaray.platform.api.parts import Settings
from metaray.platform.api.process import running
from metaray.platform.api.run import Run, place_of
from metaray.platform.api.settings import transfer_tree
from metaray.platform.callbacks.base import Callback
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.run.directory import fresh_place


def transfer(
    job: Job | str,
    data: Dataset,
    *,
    target: Dataset | None = None,
    model: Model | None = None,
    init: Run | str | Path | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    workers: int | Settings = 0,
    seed: int | None = None,
    out: str | Path | None = None,
    settings: Settings | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    address: str | None = None,
) -> Run:
    """Train a network on one data set for the sake of another, and test it.

    What is left open has the default of the job. Example::

        simclr = mr.transfer("simclr", mr.datasets.Folder("photos"), epochs=50)
        run = mr.transfer(mr.jobs.Finetune(strategy="head"), mr.datasets.Folder("photos"),
                          init=simclr)

    Args:
        job: such as ``mr.jobs.Finetune(strategy="head")``, or its name: "finetune", "dann",
            "distill", "simclr" or "moco".
        data: labelled images to train on.
        target: the other domain, for jobs that have one; the test is there.
        model: the network; that of ``init`` if left out.
        init: a run whose encoder the network starts from.
        epochs: passes over the training images.
        steps: optimizer steps, in place of epochs.
        batch_size: images of each domain in a step.
        lr: learning rate after the warm-up.
        workers: workers of Ray Train, or the settings of the section ``workers``; 0: this process.
        seed: root of every random choice.
        out: new folder for the run, or a URI; None: a name with the time in ``runs``.
        settings: any other settings by path; ``metaray settings finetune`` lists them.
        callbacks: subclasses of ``mr.Callback`` that follow the run.
        progress: show progress.
        address: Ray cluster; None: the Ray that this process uses, else a new one.

    Returns:
        The run, trained and tested.

    Raises:
        InputError: bad input, before anything is written.
        TrainingError: the run cannot continue; its last checkpoint is kept.
        Stopped: the run was interrupted; there is a checkpoint.
    """
    tree = transfer_tree(
        job,
        data,
        target=target,
        model=model,
        workers=workers,
        seed=seed,
        settings=settings,
        checkpoint=None if init is None else place_of(init),
        train={"epochs": epochs, "steps": steps, "batch_size": batch_size, "lr": lr},
    )
    config = TRANSFER.resolve(tree)
    place = str(out or fresh_place(runs.name_of(config)))
    with running(progress, address, callbacks, config.job.name) as (where, listeners):
        runs.new(config, place, where, listeners)
    return Run(place)
