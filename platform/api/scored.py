"""The result of a test as a Python object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.api.display import html_table, result_rows, score_text

if TYPE_CHECKING:
    import pandas as pd


class Scored:
    """What the result of a test has."""

    summary: dict[str, Any]

    @property
    def accuracy(self) -> float:
        """Mean accuracy of the test, from 0 to 1.

        Raises:
            InputError: the test was a regression, which has ``mse`` instead.
        """
        return self._score("accuracy")

    @property
    def mse(self) -> float:
        """Mean squared error of a regression.

        Raises:
            InputError: the test was a classification, which has ``accuracy`` instead.
        """
        return self._score("mse")

    @property
    def ci95(self) -> float:
        """Half the width of the 95 % confidence interval of the score, in its unit."""
        return float(self.summary["ci95"])

    def _score(self, name: str) -> float:
        value = self.summary.get(name)
        if value is None:
            other = "mse" if name == "accuracy" else "accuracy"
            raise InputError(f"this test has no {name}: use .{other}")
        return float(value)


class Evaluation(Scored):
    """The result of one test.

    Attributes:
        summary: all numbers, as in ``summary.json``.
        episodes: a row for each test episode.
    """

    def __init__(self, summary: dict[str, Any], episodes: pd.DataFrame) -> None:
        self.summary = summary
        self.episodes = episodes

    @override
    def __repr__(self) -> str:
        return f"Evaluation({score_text(self.summary)}, {len(self.episodes)} episodes)"

    def _repr_html_(self) -> str:
        return html_table("Evaluation", result_rows(self.summary))
