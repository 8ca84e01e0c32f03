"""The encoder of the features that a run was trained on, from the folder of ``metaray embed``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.reading import refusing_damage
from metaray.algorithms.tasks.catalog import build_source
from metaray.algorithms.tasks.embedding_record import (
    EmbeddingRecord,
    encoder_file,
    record_file,
)
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.algorithms.tasks.vector_episodes import VectorEpisodes
from metaray.platform.inference.frozen_encoder import EncoderSpec, encoder_state, encoder_tensors


class EmbeddedEncoder(NamedTuple):
    """What turns a picture into a vector such as those of the training."""

    spec: EncoderSpec
    tensors: Tensors
    """as ``encoder_tensors`` names them"""
    preprocessing: Preprocessing


def embedded_encoder(data: DataConfig, content_sha256: str | None, run: Path) -> EmbeddedEncoder:
    """That of the features ``data``, on which ``run`` was trained.

    Raises:
        InputError: the vectors are not those of ``metaray embed``, its folder is gone or holds
            other vectors now, or it was written by a version that did not keep the encoder.
    """
    folder = Path(data.root or "")
    if not record_file(folder).is_file():
        raise InputError(
            f"{run} was trained on the vectors of {folder}, and no folder of metaray embed is "
            "there, whose encoder pictures need: give a run on pictures, or bring the folder back"
        )
    record, source = EmbeddingRecord.read(folder), build_source(data)
    assert isinstance(source, VectorEpisodes)
    if source.content_sha256 != content_sha256:
        raise InputError(
            f"{folder} holds other vectors than {run} was trained on: bring the earlier ones back, "
            "or train again"
        )
    if "model" not in record.encoder:  # of timm, before its networks were trained here too
        raise InputError(
            f"{folder} was written by an earlier version, which did not keep the encoder: run "
            "metaray embed into a new folder, and train on that"
        )
    file = encoder_file(folder)
    if not file.is_file():
        raise InputError(
            f"{folder} was written by an earlier version, which did not keep the encoder: run the "
            f"same metaray embed again, which adds it to {folder}"
        )
    with refusing_damage(f"{file} cannot be read", "write the folder again with metaray embed"):
        state = encoder_state(load_file(file))
    images = record.preprocessing
    shape = images["channels"], images["height"], images["width"]
    spec = EncoderSpec(
        name=str(record.encoder["name"]),
        model=record.encoder["model"],
        input_shape=shape,
        feature_dim=source.input_shape[0],
    )
    mean = torch.from_numpy(source.training_mean) if data.centre else None
    preprocessing = (
        Preprocessing.supposed(str(record.source["name"]), shape)
        if record.pictures is None
        else Preprocessing.from_json(record.pictures)
    )
    return EmbeddedEncoder(spec, encoder_tensors(state, mean), preprocessing)
