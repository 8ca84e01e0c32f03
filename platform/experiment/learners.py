"""From a run to a learner that is used on pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metaray.algorithms.algorithm import State
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.method_section import BatchTrained
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.models.head import HEAD
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.platform.config.meta import RunConfig
from metaray.platform.config.schema import ComputeConfig, ExperimentConfig
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.experiment.embedded_encoder import embedded_encoder
from metaray.platform.inference.learner import ENCODER, Learner, LearnerSpec
from metaray.platform.run.calibration import Calibration
from metaray.platform.run.checkpoint import Checkpoint, params_sha256, read_step
from metaray.platform.run.directory import RunDirectory, checkpoint_file
from metaray.platform.run.provenance import DataRecord
from metaray.platform.run.summary import read_summary
from metaray.platform.training.pretrained import PretrainedEncoder, chosen_checkpoint

_FROM_SUMMARY = ("accuracy", "ci95", "num_episodes", "batch_norm", "ways", "shots", "tested_at")


def meta_learner(run: RunDirectory, config: RunConfig, title: str) -> Learner:
    """That of a meta-training; InputError as of ``Experiment.learner``."""
    record, checkpoint = DataRecord.read(run), _tested(run)
    if record.source.train_classes is None:
        raise InputError(
            f"{run.path} has learned a regression, and only classes of pictures can be predicted: "
            "give a run that classifies"
        )
    state, encoder = State(*checkpoint.named), None
    if config.data.name == "features":
        below = embedded_encoder(config.data, record.source.content_sha256, run.path)
        encoder, preprocessing = below.spec, below.preprocessing
        state.buffers.update({ENCODER + name: t for name, t in below.tensors.items()})
    else:
        preprocessing = _preprocessing(run, config, record)
    method = config.method
    spec = LearnerSpec(
        title=title,
        model=config.model,
        method=method,
        encoder=encoder,
        num_outputs=(method.num_classes or record.source.train_classes)
        if isinstance(method, BatchTrained)
        else config.test_shape.ways,
        preprocessing=preprocessing,
        calibration=_calibration(run, checkpoint),
        origin=_origin(run, record, checkpoint, method.name, config),
    )
    return Learner(spec, state, _compute(config))


def transfer_learner(run: RunDirectory, config: TransferConfig, title: str) -> Learner:
    """That of a transfer job: its encoder."""
    tested = (read_summary(run) or {}).get("tested_step")
    place = run.path if tested is None else checkpoint_file(run.checkpoints, tested)
    record, network = DataRecord.read(run), PretrainedEncoder.read(place)
    preprocessing = _preprocessing(run, config, record)
    backbone = build_backbone(network.model, preprocessing.input_shape)
    state, _ = network.encoder(backbone, _none())
    head = _classifier(network)
    spec = LearnerSpec(
        title=title,
        model=network.model,
        method=None,
        num_outputs=0,
        preprocessing=preprocessing,
        calibration=_calibration(run, network.checkpoint),
        classes=network.classes if head else (),
        origin=_origin(run, record, network.checkpoint, network.trained_by, config),
    )
    return Learner(spec, State(state.params | head, state.buffers), _compute(config))


def _classifier(network: PretrainedEncoder) -> Tensors:
    """A linear classifier on the features, if that is all there is of one, and its classes are
    known by name."""
    params, _ = network.checkpoint.named
    of_head = {name for name in params if name.startswith("head.")}
    return network.head() if of_head == set(HEAD) and network.classes else {}


def _tested(run: RunDirectory) -> Checkpoint:
    """The checkpoint that was tested; before a test, the best on validation."""
    summary = read_summary(run) or {}
    step = summary.get("tested_step")
    return chosen_checkpoint(run) if step is None else read_step(run.checkpoints, step)


def _calibration(run: RunDirectory, checkpoint: Checkpoint) -> Calibration | None:
    """That of the same parameters."""
    found = Calibration.read(run.calibration)
    return found if found is not None and found.step == checkpoint.step else None


def _preprocessing(
    run: RunDirectory, config: RunConfig | TransferConfig, record: DataRecord
) -> Preprocessing:
    shape = record.source.input_shape
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(
            f"{run.path} was trained on inputs of shape {list(shape)}, and only pictures with 1 or "
            "3 channels can be predicted: give a run on pictures"
        )
    return record.preprocessing or Preprocessing.supposed(config.data.name, shape)


def _origin(
    run: RunDirectory,
    record: DataRecord,
    checkpoint: Checkpoint,
    trained_by: str,
    config: RunConfig | TransferConfig,
) -> dict[str, Any]:
    summary = read_summary(run) or {}
    return {
        "run": run.path.name,
        "trained_by": trained_by,
        "data": config.data.name,
        "step": checkpoint.step,
        "params_sha256": params_sha256(checkpoint),
        **({"attribution": list(record.attribution)} if record.attribution else {}),
        **{key: summary[key] for key in _FROM_SUMMARY if key in summary},
    }


def _compute(config: ExperimentConfig) -> ComputeConfig:
    """In this process, on a GPU where there is one, in float64 if the training was."""
    precise = config.workers.precision == "float64"
    return ComputeConfig(count=0, precision="float64" if precise else "float32")


def _none() -> Iterator[Any]:
    """Images to estimate statistics on, which the encoder of a transfer job has."""
    return iter(())
