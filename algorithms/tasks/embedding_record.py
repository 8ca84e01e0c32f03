"""What a folder of ``metaray embed`` says of its vectors: encoder, preprocessing and source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from metaray.algorithms.atomic import write_json
from metaray.algorithms.episode_shape import Split
from metaray.algorithms.reading import read_object, refusing_damage


def features_file(folder: Path) -> Path:
    """The prepared vectors, by class."""
    return folder / "features.arrow"


def encoder_file(folder: Path) -> Path:
    """The tensors of the encoder, by which a model on the vectors reads pictures."""
    return folder / "encoder.safetensors"


def record_file(folder: Path) -> Path:
    """The record of them."""
    return folder / "features.json"


class EmbeddingRecord(BaseModel):
    """The content of ``features.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: dict[str, Any]
    """what it is, and the hash of its weights"""
    preprocessing: dict[str, Any]
    """what was done to the images before the encoder"""
    source: dict[str, Any]
    """the settings and the content hash of the images"""
    splits: dict[Split, tuple[str, ...]]
    """the classes of each split of the images"""
    versions: dict[str, str]
    """of the packages that computed"""
    pictures: dict[str, Any] | None = None
    """how a picture becomes an input of the encoder; None where images have other channels than 1
    or 3, and in folders of older versions"""

    @classmethod
    def read(cls, folder: Path) -> EmbeddingRecord:
        """That of ``folder``.

        Raises:
            InputError: it is missing or damaged.
        """
        problem = f"{record_file(folder)} does not say how images are divided"
        remedy = "set data.split = random, or write the folder again with metaray embed"
        values = read_object(record_file(folder), problem, remedy)
        with refusing_damage(problem, remedy):
            return cls.model_validate(values)

    def write(self, folder: Path) -> None:
        """Into ``folder``."""
        write_json(record_file(folder), self.model_dump(mode="json"))
