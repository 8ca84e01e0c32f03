"""The folder of a saved model: what lies where in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metaray.platform.run.base_directory import BaseDirectory


@dataclass(frozen=True)
class SavedModelDirectory(BaseDirectory):
    """Paths of a saved model."""

    NOUN = "saved model"
    MARKER = "model.safetensors"
    FOLDERS = ()

    @property
    def config(self) -> Path:
        """What it is, how it was trained, and how pictures are prepared for it."""
        return self.path / "config.json"

    @property
    def weights(self) -> Path:
        """Parameters and statistics."""
        return self.path / self.MARKER

    @property
    def support(self) -> Path:
        """The support set of an adapted model."""
        return self.path / "support.safetensors"
