"""A trained model that learns a task from a few labelled pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import Algorithm, State
from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.method_section import MethodSection
from metaray.algorithms.methods.nearest_mean import NearestMean, TrainedHead
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.registry import build_algorithm
from metaray.algorithms.tasks.preprocessing import Appearance, Preprocessing
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.inference.adapted_model import AdaptedModel
from metaray.platform.inference.folders import labelled_pictures
from metaray.platform.inference.frozen_encoder import EncoderSpec, FrozenEncoder
from metaray.platform.inference.pictures import Picture, PictureReader
from metaray.platform.inference.state_bytes import from_bytes, to_bytes
from metaray.platform.run.calibration import Calibration
from metaray.platform.training.device import choose_device, dtype_of

ENCODER = "encoder."


@dataclass(frozen=True, kw_only=True)
class LearnerSpec:
    """All that says what a learner is, beside its weights."""

    title: str
    """what was trained on what, for people"""
    model: ModelConfig
    method: MethodSection | None
    """how it learns a task; None: an encoder, whose features are compared by cosine"""
    encoder: EncoderSpec | None = None
    """whose features are the inputs of the network; None: pictures are"""
    num_outputs: int
    """outputs of the network, where the method has a fixed head"""
    preprocessing: Preprocessing
    calibration: Calibration | None
    """None: probabilities are those of the method as it is"""
    classes: tuple[str, ...] = ()
    """those of the classifier that was trained with an encoder, in the order of its outputs"""
    origin: dict[str, Any] = field(default_factory=dict)
    """where it comes from: run, step, accuracy of its test, and so on"""

    @property
    def ways(self) -> int | None:
        """The number of classes that a task must have; None: any from two on."""
        return self.num_outputs if self.method is not None and self.method.fixed_head else None

    @property
    def how_to_calibrate(self) -> str:
        """What to do where ``calibration`` is None."""
        if self.method is None:
            return (
                "a transfer job has no episodes to measure them on; metaray choose FOLDER "
                "--encoder RUN --methods nearest_mean makes a run on its features that is "
                "calibrated, on classes of FOLDER"
            )
        return (
            "test the run with metaray evaluate, which measures them on validation episodes of one "
            "shape (task.sampler = fixed)"
        )

    def build(self) -> Algorithm:
        """The algorithm, with a network without weights."""
        shape = self.preprocessing.input_shape if self.encoder is None else self.encoder.shape
        backbone = build_backbone(self.model.model_copy(update={"weights": None}), shape)
        if self.method is None:
            return NearestMean(backbone, "classification", self.num_outputs)
        return build_algorithm(self.method, backbone, "classification", self.num_outputs)


class Learner:
    """A trained model: ``adapt`` gives it the classes of a task.

    Batch norm is inductive: the prediction of a picture never depends on other queries.
    """

    def __init__(
        self, spec: LearnerSpec, state: State, compute: ComputeConfig | None = None
    ) -> None:
        """Of all its tensors, as ``tensors`` has them.

        ``compute`` says on which device, and in which precision.
        """
        compute = compute or ComputeConfig(count=0)
        self.spec = spec
        self.compute = compute
        self.device = choose_device(compute)
        self.dtype = dtype_of(compute)
        self.algorithm = spec.build()
        params, buffers = (
            {n: t.to(self.device, self.dtype if t.is_floating_point() else t.dtype)
             for n, t in part.items()}
            for part in state
        )  # fmt: skip
        of_encoder = {n: t for n, t in buffers.items() if n.startswith(ENCODER)}
        self.state = State(params, {n: t for n, t in buffers.items() if n not in of_encoder})
        self.encoder = (
            None
            if spec.encoder is None
            else FrozenEncoder(
                spec.encoder, {n.removeprefix(ENCODER): t for n, t in of_encoder.items()}
            )
        )

    def on(self, device: str) -> Learner:
        """The same on another device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

        Raises:
            InputError: there is no such device.
        """
        compute = self.compute.model_copy(update={"device": device, "count": 0})
        return Learner(self.spec, self.tensors, compute)

    @property
    def tensors(self) -> State:
        """All tensors: those of the encoder are among the buffers, under ``encoder.``."""
        if self.encoder is None:
            return self.state
        own, below = self.state, self.encoder.tensors()
        return State(own.params, own.buffers | {ENCODER + n: t for n, t in below.items()})

    def inputs(self, x: Tensor) -> Tensor:
        """Prepared pictures ``[n, C, H, W]`` as inputs of the network, on its device."""
        x = x.to(self.device, self.dtype)
        return x if self.encoder is None else self.encoder.in_batches(x)

    def adapt(
        self,
        images: Iterable[Picture] | str | Path,
        labels: Sequence[Any] | None = None,
        *,
        invert: bool | None = None,
    ) -> AdaptedModel:
        """Learn the classes of a task.

        Args:
            images: support pictures: paths, images of Pillow, arrays ``[H, W]`` or ``[H, W, 3]``
                of bytes or of numbers from 0 to 1, or tensors ``[C, H, W]`` that are prepared
                already. Or a folder with a folder of pictures for each class, a zip of one, or a
                CSV file with the columns path and label.
            labels: the class of each, in the same order: any names or numbers. None for a folder
                and a CSV file.
            invert: whether dark ink on a light ground becomes the reverse; None: as in training.

        Returns:
            The model of this task. Classes are in the order of their names.

        Raises:
            InputError: no pictures, fewer than two classes, a picture that cannot be read, or a
                number of classes that the method does not allow.
        """
        if isinstance(images, str | Path):
            if labels is not None:
                raise InputError(
                    f"images = {str(images)!r} is a folder or a CSV file, which says the labels: "
                    "leave out labels, or give a list of images"
                )
            with labelled_pictures(Path(images)) as found:
                model = self._adapted(found.pictures, found.labels, invert)
                model.left_out = found.left_out
                return model
        pictures = list(images)
        if labels is None or len(labels) != len(pictures):
            count = "none" if labels is None else str(len(labels))
            raise InputError(
                f"each picture needs a label: got {len(pictures)} pictures and {count} labels"
            )
        return self._adapted(pictures, list(labels), invert)

    def classifier(self, *, invert: bool | None = None) -> AdaptedModel:
        """The model for the classes that it was trained on, without a support set.

        Raises:
            InputError: it was not trained with a classifier of fixed classes.
        """
        if not self.spec.classes:
            raise InputError(
                f"{self.spec.title} has no classifier for the classes it was trained on: give "
                "support pictures"
            )
        none = torch.empty(0, *self.spec.preprocessing.input_shape)
        head = TrainedHead(self.state.params, self.state.buffers)
        labels = torch.empty(0, dtype=torch.int64)
        return AdaptedModel(self, head, self.spec.classes, none, labels, self.reader(invert))

    def _adapted(
        self, pictures: Sequence[Picture], labels: Sequence[Any], invert: bool | None
    ) -> AdaptedModel:
        classes = class_order(labels)
        check_classes(self.spec, classes)
        reader = self.reader(invert)
        numbers = {name: number for number, name in enumerate(classes)}
        y = torch.tensor([numbers[label] for label in labels])
        x = reader.read(pictures)
        return self.adapted(x, y, classes, reader)

    def reader(self, invert: bool | None = None) -> PictureReader:
        """What turns pictures into inputs; ``invert`` as of ``adapt``."""
        preprocessing = self.spec.preprocessing
        if invert is not None:
            preprocessing = replace(preprocessing, inverted=invert)
        return PictureReader(preprocessing)

    def adapted(
        self, x: Tensor, y: Tensor, classes: Sequence[Any], reader: PictureReader
    ) -> AdaptedModel:
        """The model of a task whose support set is prepared already.

        Args:
            x: support inputs ``[S, C, H, W]``; none for the trained classifier.
            y: places of their classes in ``classes``, int64 ``[S]``.
            classes: their names.
            reader: has read them, and reads the queries.
        """
        if not len(x):
            return self.classifier(invert=reader.preprocessing.inverted)
        with torch.no_grad() if self.spec.method is None else torch.enable_grad():
            adapted = self.algorithm.adapt(
                self.state,
                self.inputs(x),
                y.to(self.device),
                len(classes),
                "inductive",
            )[-1]
        with torch.no_grad():
            adapted = self.algorithm.precomputed(_detached(adapted))
        return AdaptedModel(self, adapted, tuple(classes), x, y, reader)

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.spec, to_bytes(self.tensors), self.compute)

    def save(self, folder: str | Path) -> None:
        """Write weights and settings into a new folder, which ``mr.load`` opens anywhere.

        Raises:
            InputError: there are other files, or it cannot be written.
        """
        from metaray.platform.inference.saved import save_learner

        save_learner(self, Path(folder).expanduser())

    def differences(self, reader: PictureReader) -> list[str]:
        """How the pictures that ``reader`` has read look unlike those of the training."""
        trained, own = self.spec.preprocessing.seen, reader.appearance
        if trained is None or own is None:
            return []
        return Appearance.differences(own, trained, reader.preprocessing.inverted)

    @override
    def __repr__(self) -> str:
        return f"Learner({self.spec.title!r})"


def _unpickled(spec: LearnerSpec, state: bytes, compute: ComputeConfig) -> Learner:
    return Learner(spec, from_bytes(state), compute)


def class_order(labels: Iterable[Any]) -> list[Any]:
    """The classes in ``labels``, sorted; those of several types, by their text."""
    classes = set(labels)
    try:
        return sorted(classes)
    except TypeError:
        return sorted(classes, key=str)


def check_classes(spec: LearnerSpec, classes: Sequence[Any]) -> None:
    """Raise InputError where a task with ``classes`` cannot be learned."""
    if not classes:
        raise InputError("there are no support pictures: give one or more of each class")
    if len(classes) < 2:
        raise InputError(
            f"the support pictures have one class ({classes[0]}), and telling classes apart needs "
            "two or more: add a class"
        )
    if spec.ways is not None and len(classes) != spec.ways:
        name = spec.method.label if spec.method is not None else "it"
        raise InputError(
            f"{name} was trained with a head for {spec.ways} classes, and the support pictures "
            f"have {len(classes)}: give {spec.ways} classes, train with --set task.ways="
            f"{len(classes)}, or train a method for any number of classes, such as protonet"
        )


def _detached(adapted: Any) -> Any:
    """Without the graph of the adaptation: tensors in tuples and dictionaries."""
    if isinstance(adapted, Tensor):
        return adapted.detach()
    if isinstance(adapted, dict):
        return {name: _detached(value) for name, value in adapted.items()}
    if isinstance(adapted, tuple) and hasattr(adapted, "_fields"):
        return type(adapted)(*map(_detached, adapted))
    if isinstance(adapted, list | tuple):
        return type(adapted)(map(_detached, adapted))
    return adapted
