"""Learners and adapted models in a folder: weights as safetensors, all else as JSON."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from metaray.algorithms.atomic import atomic_folder, write_json
from metaray.algorithms.errors import InputError, write_error
from metaray.algorithms.models.registry import MODELS
from metaray.algorithms.reading import read_object, refusing_damage
from metaray.algorithms.registry import METHODS
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.platform.config.loading import validate_section
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.inference.adapted_model import AdaptedModel
from metaray.platform.inference.frozen_encoder import EncoderSpec
from metaray.platform.inference.learner import Learner, LearnerSpec
from metaray.platform.inference.state_bytes import from_bytes, to_bytes
from metaray.platform.run.calibration import Calibration
from metaray.platform.run.saved_model_directory import SavedModelDirectory

FORMAT = "metaray.learner"
VERSION = 2
_BEFORE_ENCODERS = 1
"""what learners without an encoder still are, so that older versions read them"""
_REMEDY = "save the model again"


def save_learner(learner: Learner, folder: Path) -> None:
    """Write a learner into a new folder.

    Raises:
        InputError: there are other files, or it cannot be written.
    """
    with new_folder(folder) as temporary:
        write_learner(learner, temporary)


def save_adapted(model: AdaptedModel, folder: Path) -> None:
    """Write an adapted model into a new folder: its learner, and its support set.

    Raises:
        InputError: as of ``save_learner``, or a class is neither text nor a number.
    """
    classes = [_plain(name) for name in model.classes]
    with new_folder(folder) as temporary:
        inverted = model.reader.preprocessing.inverted
        write_learner(model.learner, temporary, classes=classes, inverted=inverted)
        tensors = {"x": model.support_x.contiguous(), "y": model.support_y.contiguous()}
        support = SavedModelDirectory(temporary).support
        support.write_bytes(safetensors.torch.save(tensors))


def load_saved(folder: Path) -> Learner | AdaptedModel:
    """What ``save_learner`` or ``save_adapted`` wrote. No code is executed.

    Raises:
        InputError: it is damaged, or of a later version.
    """
    directory = SavedModelDirectory.open(folder)
    path = directory.config
    values = read_object(path, f"{path} is not that of a saved model", _REMEDY)
    if values.get("format") != FORMAT:
        raise InputError(f"{path} is not that of a saved model: give a folder that metaray wrote")
    version = values.get("version")
    if version not in (_BEFORE_ENCODERS, VERSION):
        raise InputError(
            f"{folder} was saved in format {version}, and this metaray reads {VERSION}: update "
            "metaray, or save the model again"
        )
    with refusing_damage(f"{path} is damaged", _REMEDY):
        spec = _spec(values)
        compute = ComputeConfig(count=0, precision=values["precision"])
    with _reading(directory.weights):
        state = from_bytes(directory.weights.read_bytes())
    learner = Learner(spec, state, compute)
    if "classes" not in values:
        return learner
    with _reading(directory.support):
        support = safetensors.torch.load(directory.support.read_bytes())
        x, y = support["x"], support["y"]
    return learner.adapted(x, y, values["classes"], learner.reader(values["inverted"]))


def new_folder(folder: Path) -> AbstractContextManager[Path]:
    """A folder to fill, which becomes ``folder`` when the block ends.

    Raises:
        InputError: there are other files, or it cannot be written.
    """
    SavedModelDirectory.check_free(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(f"the model {folder}", error, "choose another folder") from error
    return atomic_folder(folder)


def write_learner(learner: Learner, folder: Path, **further: Any) -> None:
    """Write weights and settings, with ``further`` values among these, into a folder."""
    spec = learner.spec
    values = {
        "format": FORMAT,
        "version": _BEFORE_ENCODERS if spec.encoder is None else VERSION,
        "title": spec.title,
        "method": None if spec.method is None else spec.method.model_dump(mode="json"),
        "model": spec.model.model_dump(mode="json"),
        **({} if spec.encoder is None else {"encoder": spec.encoder.as_json()}),
        "num_outputs": spec.num_outputs,
        "trained_classes": list(spec.classes),
        "preprocessing": spec.preprocessing.as_json(),
        "calibration": None
        if spec.calibration is None
        else spec.calibration.model_dump(mode="json"),
        "precision": learner.compute.precision,
        "origin": spec.origin,
        **further,
    }
    directory = SavedModelDirectory(folder)
    write_json(directory.config, values)
    directory.weights.write_bytes(to_bytes(learner.tensors))


def _spec(values: dict[str, Any]) -> LearnerSpec:
    method, calibration = values["method"], values["calibration"]
    encoder = values.get("encoder")
    return LearnerSpec(
        title=str(values["title"]),
        model=validate_section(MODELS, values["model"]),
        method=None if method is None else validate_section(METHODS, method),
        encoder=None if encoder is None else EncoderSpec.from_json(encoder),
        num_outputs=int(values["num_outputs"]),
        preprocessing=Preprocessing.from_json(values["preprocessing"]),
        calibration=None
        if calibration is None
        else Calibration.model_validate_json(json.dumps(calibration)),
        classes=tuple(map(str, values["trained_classes"])),
        origin=dict(values["origin"]),
    )


def _reading(path: Path) -> AbstractContextManager[None]:
    return refusing_damage(f"{path} cannot be read", _REMEDY)


def _plain(name: Any) -> Any:
    """A label as JSON can hold it."""
    value = name.item() if isinstance(name, np.generic) else name
    if not isinstance(value, str | int | float | bool):
        raise InputError(
            f"the class {name!r} is a {type(name).__name__}: use text or numbers as labels to save "
            "the model"
        )
    return value
