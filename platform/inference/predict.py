"""Predictions for a folder of pictures, into a file and onto a page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from metaray.algorithms.errors import InputError
from metaray.platform.common.formatting import percent, plural
from metaray.platform.inference.adapted_model import AdaptedModel
from metaray.platform.inference.folders import query_pictures
from metaray.platform.inference.page import Gallery
from metaray.platform.inference.predictions import Prediction, Tally, predictions
from metaray.platform.inference.writers import check_ending, row_of, writer_of

_MOST_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of the predictions."""

    tally: Tally
    first: list[Prediction]
    """up to 20 of them"""
    sentences: list[str]
    """what should be known of them"""


def predict_folder(
    model: AdaptedModel,
    query: Path,
    *,
    out: Path | None = None,
    html: Path | None = None,
    reject: bool = False,
    started: Callable[[int], Callable[[int], None]] = lambda total: lambda count: None,
) -> Outcome:
    """Predict the pictures of a folder, a zip or a list.

    Args:
        model: has learned the classes.
        query: a folder, one picture, a zip, or a CSV file of paths.
        out: a file for the predictions: .csv, .jsonl or .parquet.
        html: a file for the page.
        reject: refuse pictures of none of the classes.
        started: gets the number of pictures, and returns what is told how many more are done.

    Raises:
        InputError: there are no pictures, none can be read, or a file cannot be written.
    """
    if out is not None:
        check_ending(out)
    if reject:
        model.check_refusal()
    classes = tuple(map(str, model.classes))
    tally, first = Tally(classes), list[Prediction]()
    gallery = Gallery(model, reject) if html is not None else None
    with query_pictures(query.expanduser(), classes) as found:
        done = started(len(found.pictures))
        with nullcontext() if out is None else writer_of(out, classes) as writer:
            for one in predictions(model, found, done):
                tally.add(one)
                if len(first) < _MOST_LISTED:
                    first.append(one)
                if gallery is not None:
                    gallery.add(one)
                if writer is not None:
                    writer.write(row_of(one, classes, reject))
            if len(tally.unread) == tally.count:
                raise InputError(
                    f"none of the {plural(tally.count, 'picture')} of {query} can be read; the "
                    f"first: {tally.unread[0].error}"
                )
    sentences = [*found.left_out, *_sentences(model, tally, reject)]
    if gallery is not None and html is not None:
        gallery.write(html, tally, sentences)
    return Outcome(tally=tally, first=first, sentences=sentences)


def _sentences(model: AdaptedModel, tally: Tally, reject: bool) -> list[str]:
    """How sure the probabilities are, and what is odd about the pictures."""
    found = [f"{text[0].upper()}{text[1:]}." for text in model.warnings]
    calibration = model.learner.spec.calibration
    if calibration is None:
        found.append(
            f"The probabilities are not calibrated: {model.learner.spec.how_to_calibrate}."
        )
    else:
        found.append(
            f"On validation episodes of the training ({plural(calibration.ways, 'class')}, "
            f"{plural(calibration.shots, 'shot')}) {percent(calibration.accuracy, 1)} of such "
            f"predictions are right. The temperature is {calibration.temperature:.3g}: the "
            f"expected calibration error is {percent(calibration.ece_after, 1)} with it, and "
            f"{percent(calibration.ece_before, 1)} without."
        )
        if calibration.is_at_limit:
            found.append(
                "This temperature is as far from 1 as it may be, so the probabilities say little: "
                "train longer, and look at the accuracy of the run."
            )
    if reject:
        rule = model.check_refusal()
        found.append(
            f"{rule.sentence[0].upper()}{rule.sentence[1:]}; on validation episodes this rejects "
            f"{percent(rule.wrongly_refused, 1)} of the pictures of the classes, and "
            f"accepts {percent(rule.wrongly_accepted, 1)} of those of none of them."
        )
        found += [f"{text[0].upper()}{text[1:]}." for text in model.refusal_notes]
    if tally.num_unknown:
        found.append(
            f"{plural(tally.num_unknown, 'picture')} lie in folders that are none of the classes "
            f"({', '.join(tally.classes[:5])}{', ...' if len(tally.classes) > 5 else ''})."
        )
    return found
