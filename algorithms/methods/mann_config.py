"""The settings of memory-augmented networks. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.method_section import MethodSection


class MANNConfig(MethodSection):
    """Memory-augmented network (Santoro et al. 2016): an LSTM with an external memory."""

    summary: ClassVar[str] = "an LSTM that writes examples and labels to an external memory"
    paper: ClassVar[str] = "Santoro et al., ICML 2016, arXiv 1605.06065"
    implementation: ClassVar[str] = "metaray.algorithms.methods.mann:MANN"

    labels_are_inputs: ClassVar[bool] = True

    name: Literal["mann"] = "mann"
    controller_width: int = Field(200, ge=1, le=65_536)
    """units of the LSTM"""
    memory_slots: int = Field(128, ge=1, le=65_536)
    """rows of the memory"""
    memory_width: int = Field(40, ge=1, le=65_536)
    """numbers in a row"""
    read_heads: int = Field(4, ge=1, le=65_536)
    """keys of a step; each reads, and writes to its own least used row"""
    usage_decay: float = Field(0.95, ge=0, lt=1)
    """share of the usage of a row that is left after a step"""

    @model_validator(mode="after")
    def _a_row_for_each_head(self) -> Self:
        if self.read_heads > self.memory_slots:
            raise InputError(
                f"mann needs one memory row for each head, got method.read_heads = "
                f"{self.read_heads} for method.memory_slots = {self.memory_slots}: lower the heads"
            )
        return self
