"""The first checkpoint of a job: where its network starts, and what its teacher is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.models.registry import MODELS
from metaray.algorithms.parameters import Layout, Tensors
from metaray.algorithms.transfer.examples import Examples
from metaray.algorithms.transfer.objective import Objective, Start
from metaray.algorithms.transfer.registry import build_objective
from metaray.platform.common.seeds import initial_parameters_seed
from metaray.platform.config.loading import validate_section
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.run.checkpoint import Checkpoint, part_of, shapes_text
from metaray.platform.training.device import dtype_of
from metaray.platform.training.pretrained import PretrainedEncoder, Provenance, statistics_batches
from metaray.platform.training.transfer.blueprint import Domains, Plan, bare_backbone, networks_of


@dataclass(frozen=True, kw_only=True)
class InitialState:
    """All that is decided before the first step."""

    plan: Plan
    objective: Objective
    checkpoint: Checkpoint
    origin: Provenance | None
    """of the encoder; None where it starts at random or from published weights"""


def initial_state(config: TransferConfig, domains: Domains) -> InitialState:
    """Draw or read the first state.

    Raises:
        InputError: a checkpoint or weights that do not fit; layers are named.
    """
    encoder, origin = first_encoder(config, domains.source)
    teacher = read_teacher(config, domains)
    teacher_model = None if teacher is None else teacher.model
    start = Start(encoder, None if teacher is None else _teacher_state(teacher, config, domains))
    objective = build_objective(config.job, networks_of(config, domains, teacher_model))
    state = objective.init(initial_parameters_seed(config.seed), start)
    dtype = dtype_of(config.workers)
    checkpoint, layout = first_checkpoint(state, dtype)
    plan = Plan(config=config, param_layout=layout, teacher=teacher_model)
    checkpoint = replace(checkpoint, shapes=fingerprint(plan))
    return InitialState(plan=plan, objective=objective, checkpoint=checkpoint, origin=origin)


def restore_plan(
    config: TransferConfig, checkpoint: Checkpoint, teacher: Mapping[str, Any] | None
) -> Plan:
    """The plan of a job that continues from ``checkpoint``; ``teacher`` is its network, dumped."""
    return Plan(
        config=config,
        param_layout=Layout.of(checkpoint.named[0]),
        teacher=None if teacher is None else validate_section(MODELS, dict(teacher)),
    )


def fingerprint(plan: Plan) -> str:
    """What the flat vector of a job means."""
    dtype = str(dtype_of(plan.config.workers)).removeprefix("torch.")
    return shapes_text(f"{plan.config.job.name} {dtype}", plan.param_layout)


def first_checkpoint(state: State, dtype: torch.dtype) -> tuple[Checkpoint, Layout]:
    """The checkpoint of step 0, and how its parameters lie."""
    params, buffers = (
        {n: v.to(dtype) if v.is_floating_point() else v for n, v in part.items()} for part in state
    )
    layout = Layout.of(params)
    return Checkpoint(step=0, tensors=state_tensors(layout.flatten(params), buffers)), layout


def state_tensors(flat: Tensor, buffers: Tensors) -> Tensors:
    """Parameters and buffers as a checkpoint holds them: copies on the CPU."""
    kept = {f"buffers.{name}": value for name, value in buffers.items()} | {"params": flat}
    return {name: value.detach().cpu().clone() for name, value in kept.items()}


def buffers_of(checkpoint: Checkpoint) -> Tensors:
    """The buffers that ``state_tensors`` put there."""
    return part_of(checkpoint.tensors, "buffers.")


def first_encoder(
    config: TransferConfig, source: Examples
) -> tuple[State | None, Provenance | None]:
    """What the backbone starts from; None: drawn at random."""
    if config.init.checkpoint is not None:
        network = PretrainedEncoder.read(Path(config.init.checkpoint))
        backbone = bare_backbone(config.model, source.input_shape)
        return network.encoder(backbone, _images(source))
    if config.model.weights is not None:
        backbone = build_backbone(config.model, source.input_shape)
        return State(*backbone.init(torch.Generator().manual_seed(0))), None
    return None, None


def teacher_path(config: TransferConfig) -> Path | None:
    """The run that the job learns from, if it is of that kind.

    Raises:
        InputError: it is not set.
    """
    if "teacher" not in type(config.job).model_fields:
        return None
    path = getattr(config.job, "teacher")  # noqa: B009 - only some jobs have it
    if path is None:
        raise InputError(
            f"{config.job.name} needs a teacher: set job.teacher to the folder of a run"
        )
    return Path(path)


def read_teacher(config: TransferConfig, domains: Domains) -> PretrainedEncoder | None:
    """The teacher's network.

    Raises:
        InputError: it was trained on images of another shape.
    """
    path = teacher_path(config)
    if path is None:
        return None
    teacher = PretrainedEncoder.read(path)
    if teacher.input_shape != domains.source.input_shape:
        raise InputError(
            f"the teacher {path} takes images of {teacher.input_shape} (channels, height, "
            f"width), the data has {domains.source.input_shape}: set data.image_size and "
            "data.channels as there"
        )
    return teacher


def _teacher_state(teacher: PretrainedEncoder, config: TransferConfig, domains: Domains) -> State:
    backbone = bare_backbone(teacher.model, teacher.input_shape)
    encoder, _ = teacher.encoder(backbone, _images(domains.source))
    head = teacher.head()
    if getattr(config.job, "soft_weight", True):  # else its predictions are not used
        given = getattr(config.job, "teacher_classes", None)
        head = head_in_order(head, teacher, domains.source, given)
    return State({**encoder.params, **head}, encoder.buffers)


def head_in_order(
    head: Tensors,
    teacher: PretrainedEncoder,
    source: Examples,
    given: Sequence[str] | None = None,
) -> Tensors:
    """The classifier of ``teacher`` with its outputs in the order of the classes of ``source``.

    Args:
        head: tensors with a row for each class, by name.
        teacher: knows the names of its classes.
        source: the data.
        given: the teacher's name for each class of the data; None: the same names.

    Raises:
        InputError: the names do not say which class is which.
    """
    names = source.class_names
    if not head or any(len(rows) != len(names) for rows in head.values()):
        return head  # the objective says what is missing
    if not teacher.classes:
        if given is None and teacher.content_sha256 == source.store.header.sha256:
            return head  # the same classes of the same data
        raise InputError(
            f"the teacher {teacher.run.path} does not record the names of its classes, so which of "
            "its outputs is which class of the data is not known: give the data that it was "
            "trained on, or set job.soft_weight = 0"
        )
    wanted = tuple(names if given is None else given)
    if sorted(wanted) != sorted(teacher.classes):
        raise InputError(
            f"the teacher {teacher.run.path} knows the classes {_listed(teacher.classes)}, and the "
            f"data has {_listed(names)}: set job.teacher_classes to the teacher's name for each of "
            f"these, in this order" + ("" if given is None else f" (it is {_listed(wanted)})")
        )
    rows = [teacher.classes.index(name) for name in wanted]
    return {name: tensor[rows] for name, tensor in head.items()}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _images(examples: Examples) -> Iterator[Tensor]:
    for indices in statistics_batches(examples.count("train")):
        yield examples.images("train", indices)
