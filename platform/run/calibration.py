"""How sure a trained method may be: a run's ``calibration.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from metaray.algorithms.atomic import write_json
from metaray.algorithms.calibration import TEMPERATURES
from metaray.algorithms.reading import read_object, refusing_damage
from metaray.platform.common.formatting import plural

_FEWEST_TO_REFUSE = 3  # classes
_REMEDY = "test the run again with metaray evaluate, which writes it"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Refusal(_Record):
    """When a query counts as of none of the classes."""

    score: Literal["probability", "likeness"]
    """what is compared, see ``algorithms/calibration.py``"""
    threshold: float
    """queries with a lower score are refused"""
    wrongly_refused: float
    """share of the queries of the classes"""
    wrongly_accepted: float
    """share of the queries of none of the classes"""
    separation: float
    """area under the ROC curve; 0.5 where the score says nothing"""
    curve: tuple[tuple[float, float, float], ...]
    """thresholds with both shares"""

    @property
    def sentence(self) -> str:
        """When a picture is rejected."""
        if self.score == "probability":
            return f"pictures whose largest probability is below {self.threshold:.3g} are rejected"
        return (
            f"pictures whose likeness to their class is below {self.threshold:.3g} are rejected "
            "(1: as the support pictures are like their class, 0: as they are like another one)"
        )


class Calibration(_Record):
    """What validation episodes say of the probabilities of a method."""

    step: int = Field(ge=0)
    """outer step of the parameters"""
    ways: int
    """classes of each episode"""
    shots: int
    """support images of each class"""
    num_episodes: int
    accuracy: float
    """of the predictions with inductive batch norm, as a model in use makes them"""
    temperature: float = Field(gt=0)
    """logits are divided by it"""
    ece_before: float
    """expected calibration error without it"""
    ece_after: float
    """the same with it"""
    refusal: Refusal | None
    """None where the validation split has no further classes"""

    @property
    def is_at_limit(self) -> bool:
        """Whether another temperature would fit better, beyond those that are tried."""
        low, high = TEMPERATURES
        return not 1.05 * low < self.temperature < high / 1.05

    def refusal_notes(self, counts: Sequence[int]) -> list[str]:
        """In what a task differs from those by which the threshold to refuse was set.

        Args:
            counts: support pictures of each of its classes.
        """
        if self.refusal is None:
            return []
        found = []
        if self.refusal.score == "likeness" and len(counts) < _FEWEST_TO_REFUSE:
            found.append(
                "with two classes few pictures of a third one are rejected: give three classes or "
                "more"
            )
        if min(counts) != self.shots:
            found.append(
                f"the threshold of rejection was set with {plural(self.shots, 'picture')} of each "
                f"class, and a class of this task has {min(counts)}: the shares may differ, so "
                "try it on pictures whose class you know"
            )
        return found

    def write(self, path: Path) -> None:
        """Into a file."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def read(cls, path: Path) -> Calibration | None:
        """That in a file; None without a file.

        Raises:
            InputError: it is damaged.
        """
        if not path.is_file():
            return None
        problem = f"{path} is damaged"
        values = read_object(path, problem, _REMEDY)
        with refusing_damage(problem, _REMEDY):
            return cls.model_validate(values)
