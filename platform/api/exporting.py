"""``export``: a trained model as a folder that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.platform.api.loading import load_learner
from metaray.platform.experiment.registry import experiment_in
from metaray.platform.inference.card import model_card
from metaray.platform.inference.export import Exported, Task, export_networks
from metaray.platform.inference.learner import Learner
from metaray.platform.inference.saved import new_folder, write_learner
from metaray.platform.run.directory import RunDirectory


def export(run: str | Path, out: str | Path, *, onnx: bool = True) -> list[Exported]:
    """Write the trained model of a run into a new folder.

    It holds weights as safetensors, ``config.json``, a model card (``README.md``), and with
    ``onnx`` the networks as ``.pt2`` (``torch.export``) and ``.onnx`` files: the embedding, and of
    a metric method the classifier with the support set as an input. Each of these is loaded again
    and compared with the model on episodes of the run's data. ``mr.load`` takes the folder.

    Args:
        run: a run's folder or URI, or a saved model.
        out: the new folder.
        onnx: whether to write the networks.

    Returns:
        The files for other programs, with the largest difference of each.

    Raises:
        InputError: no such run, packages for ONNX are missing, a file does not compute what the
            model does, or the folder cannot be written.
    """
    learner = load_learner(run)
    with new_folder(user_path(out)) as folder:
        write_learner(learner, folder)
        exported: Sequence[Exported] = ()
        tasks, compared_on = _tasks(run, learner)
        if onnx:
            exported = export_networks(learner, folder, tasks)
        write_text(folder / "README.md", model_card(learner, exported, compared_on))
    return list(exported)


def _tasks(run: str | Path, learner: Learner) -> tuple[list[Task], str]:
    """Tasks to compare on, and what they are; random pictures where the data is not at hand."""
    place = user_path(run)
    on_pictures = learner.spec.encoder is None  # else its data are vectors
    if on_pictures and (place / RunDirectory.MARKER).is_file():
        opened = RunDirectory(place)
        try:
            return experiment_in(opened).tasks_to_compare(opened), "two episodes of its data"
        except InputError:
            pass
    shape = learner.spec.preprocessing.input_shape
    generator = torch.Generator().manual_seed(0)
    tasks = [
        Task(
            support_x=torch.rand(ways * 2, *shape, generator=generator),
            support_y=torch.arange(ways).repeat(2),
            query_x=torch.rand(ways + 1, *shape, generator=generator),
        )
        for ways in (5, 3)
    ]
    why = "since its data is not at hand" if on_pictures else "since its data are vectors"
    return tasks, f"random pictures, {why}"
