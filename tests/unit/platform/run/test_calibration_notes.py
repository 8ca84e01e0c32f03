"""What a record of calibration says of a task that it is used for."""

from __future__ import annotations

import pytest

from metaray.algorithms.calibration import Score
from metaray.platform.run.calibration import Calibration, Refusal

REFUSAL = Refusal(
    score="likeness", threshold=0.8, wrongly_refused=0.1, wrongly_accepted=0.05, separation=0.97,
    curve=(),
)  # fmt: skip
MEASURED = Calibration(
    step=10, ways=3, shots=5, num_episodes=60, accuracy=0.9, temperature=0.5, ece_before=0.1,
    ece_after=0.02, refusal=REFUSAL,
)  # fmt: skip
TWO_CLASSES, OTHER_SHOTS = "give three classes or more", "a class of this task has"


def test_a_task_like_those_of_the_validation_needs_no_note() -> None:
    assert MEASURED.refusal_notes([5, 5, 6]) == []
    assert MEASURED.model_copy(update={"refusal": None}).refusal_notes([1, 1]) == []


@pytest.mark.parametrize(
    ("score", "counts", "expected"),
    [
        ("likeness", [5, 5], [TWO_CLASSES]),
        ("probability", [5, 5], []),
        ("likeness", [5, 2, 5], [OTHER_SHOTS]),
        ("likeness", [2, 9], [TWO_CLASSES, OTHER_SHOTS]),
    ],
)
def test_what_differs_is_said(score: Score, counts: list[int], expected: list[str]) -> None:
    refusal = REFUSAL.model_copy(update={"score": score})
    notes = MEASURED.model_copy(update={"refusal": refusal}).refusal_notes(counts)
    assert len(notes) == len(expected)
    assert all(part in note for part, note in zip(expected, notes, strict=True))


@pytest.mark.parametrize(("temperature", "at_limit"), [(0.01, True), (100.0, True), (0.03, False)])
def test_a_temperature_at_its_limit(temperature: float, at_limit: bool) -> None:
    assert MEASURED.model_copy(update={"temperature": temperature}).is_at_limit is at_limit
