"""One test episode with what the model said to it, for the report's image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class ExampleEpisode:
    """An episode as numpy arrays. Give ``probabilities``, or ``predictions``, or both.

    Classification: x ``[n, C, H, W]`` in [0, 1], y ``[n]``, probabilities ``[Q, N]``,
    predictions ``[Q]``. Regression: x and y ``[n, 1]``, predictions ``[Q, 1]``; the more queries,
    the smoother the curve that is drawn through them.
    """

    support_x: NDArray[Any]
    support_y: NDArray[Any]
    query_x: NDArray[Any]
    query_y: NDArray[Any]
    probabilities: NDArray[Any] | None = None
    predictions: NDArray[Any] | None = None
    class_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.probabilities is None and self.predictions is None:
            raise ValueError("an example needs probabilities or predictions, got neither")
        answers = {"probabilities": self.probabilities, "predictions": self.predictions}
        for name, given in answers.items():
            if given is not None and len(given) != len(self.query_y):
                raise ValueError(f"{len(self.query_y)} queries, but {len(given)} {name}")

    @property
    def is_regression(self) -> bool:
        """Whether labels are numbers and not classes."""
        return bool(np.issubdtype(self.query_y.dtype, np.floating))

    @property
    def num_classes(self) -> int:
        """Classes of the episode."""
        return int(self.support_y.max()) + 1

    @property
    def predicted(self) -> NDArray[Any]:
        """Predicted class ``[Q]`` or value ``[Q, 1]`` of each query."""
        if self.predictions is not None:
            return self.predictions
        assert self.probabilities is not None  # checked when it was made
        classes: NDArray[Any] = self.probabilities.argmax(-1)
        return classes

    def confidence(self, query: int) -> float | None:
        """Probability of the class predicted for a query, if known."""
        if self.probabilities is None:
            return None
        return float(self.probabilities[query, int(self.predicted[query])])
