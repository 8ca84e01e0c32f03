"""The page of predictions: each query beside the support pictures that are most like it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappush, heappushpop
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from metaray.algorithms.transfer.nearest_centroid import unit_rows
from metaray.platform.common.formatting import percent
from metaray.platform.inference.adapted_model import AdaptedModel
from metaray.platform.inference.predictions import Prediction, Tally
from metaray.platform.report.class_plots import confusion_matrix
from metaray.platform.report.page_writer import Bar, write_page, writing
from metaray.platform.report.style import LIGHT, styled, svg_uris

_MOST_SHOWN = 200
_MOST_SUPPORT = 10  # pictures of a class
_NEAREST = 3
_SIDE = 84  # pixels of a picture at least

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture with words."""

    image: str
    """data URI"""
    words: str
    title: str = ""


class Gallery:
    """Keeps the predictions that a page shows: of many, those that are least sure."""

    def __init__(self, model: AdaptedModel, reject: bool) -> None:
        self._model = model
        self._reject = reject
        self._order = count()
        self._kept: list[tuple[float, int, Prediction]] = []

    def add(self, one: Prediction) -> None:
        """The next prediction."""
        if one.probabilities is None:
            return
        entry = (-one.probability, next(self._order), one)
        if len(self._kept) < _MOST_SHOWN:
            heappush(self._kept, entry)
        else:
            heappushpop(self._kept, entry)

    def write(self, path: Path, tally: Tally, sentences: Sequence[str]) -> None:
        """The page; ``sentences`` say what should be known of the predictions.

        Raises:
            InputError: it cannot be written.
        """
        shown = [one for _, _, one in sorted(self._kept, key=lambda entry: entry[1])]
        left = tally.count - len(tally.unread) - len(shown)
        if left > 0:
            shown.sort(key=lambda one: one.probability)
        model = self._model
        scores = tally.scores()
        with writing("the page of predictions", path.parent, "predict again"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_page(
                path,
                __package__ or "",
                "predictions.html.jinja",
                title=f"{tally.count:,} {'picture' if tally.count == 1 else 'pictures'}, "
                f"{len(model.classes)} classes",
                learner=model.learner.spec.title,
                sentences=list(sentences),
                scores=None if scores is None else _score_rows(scores, self._reject),
                confusion=None if scores is None else _confusion(scores, model.classes),
                support=_support(model),
                queries=[self._query(one, near) for one, near in self._with_nearest(shown)],
                left=left,
                unread=tally.unread,
            )

    def _with_nearest(self, shown: Sequence[Prediction]) -> list[tuple[Prediction, list[int]]]:
        """Each with the places of the most similar support pictures."""
        import torch

        model = self._model
        support = model.features(model.support_x) if shown and len(model.support_x) else None
        if support is None:
            return [(one, []) for one in shown]
        inputs = torch.stack([one.x for one in shown if one.x is not None])
        queries = model.features(inputs)
        assert queries is not None
        similar = unit_rows(queries) @ unit_rows(support).T
        nearest = np.argsort(-similar, axis=1, kind="stable")[:, :_NEAREST]
        return list(zip(shown, nearest.tolist(), strict=True))

    def _query(self, one: Prediction, nearest: list[int]) -> dict[str, Any]:
        assert one.probabilities is not None
        assert one.x is not None
        model = self._model
        order = np.argsort(-one.probabilities, kind="stable")[:3]
        rejected = self._reject and one.refused
        wrong = bool(one.true_label) and str(model.classes[one.best]) != one.true_label
        inverted = model.reader.preprocessing.inverted
        return {
            "picture": Shown(image=_uri(one.x, inverted), words=one.file),
            "label": "none of these" if rejected else model.classes[one.best],
            "wrong": wrong and not (rejected and one.true_label not in map(str, model.classes)),
            "true_label": one.true_label,
            "bars": [
                Bar(
                    label=str(model.classes[k]),
                    text=percent(float(one.probabilities[k]), 1),
                    interval="",
                    length=round(100 * float(one.probabilities[k]), 2),
                    style="main" if place == 0 and not rejected else "other",
                )
                for place, k in enumerate(order)
            ],
            "nearest": [
                Shown(
                    image=_uri(model.support_x[k], inverted),
                    words=str(model.classes[int(model.support_y[k])]),
                )
                for k in nearest
            ],
        }


def _support(model: AdaptedModel) -> list[tuple[str, int, list[str]]]:
    """Each class with the number of its support pictures, and some of them."""
    rows = []
    for number, name in enumerate(model.classes):
        of_class = model.support_x[model.support_y == number]
        inverted = model.reader.preprocessing.inverted
        uris = [_uri(x, inverted) for x in of_class[:_MOST_SUPPORT]]
        rows.append((str(name), len(of_class), uris))
    return rows


def _score_rows(scores: dict[str, Any], reject: bool) -> list[tuple[str, str]]:
    low, high = percent(scores["accuracy_low"], 1), percent(scores["accuracy_high"], 1)
    rows = [
        ("accuracy", f"{percent(scores['accuracy'], 1)} (95 % interval {low} to {high})"),
        ("macro F1", percent(scores["macro_f1"], 1)),
        ("expected calibration error", percent(scores["ece"], 1)),
        ("pictures with a label", f"{scores['num_labelled']:,}"),
    ]
    if reject:
        rows.append(("wrongly rejected", percent(scores["wrongly_refused"], 1)))
        if scores["wrongly_accepted"] is not None:
            rows.append(("wrongly accepted", percent(scores["wrongly_accepted"], 1)))
    return rows


def _confusion(scores: dict[str, Any], classes: Sequence[Any]) -> tuple[str, str]:
    """The plot for light and dark pages."""
    counts = np.array(scores["confusion"], np.float64)
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    with styled(LIGHT):
        return svg_uris(confusion_matrix(shares, [str(name) for name in classes], LIGHT))


def _uri(x: Tensor, inverted: bool) -> str:
    """A PNG of an input ``[C, H, W]``, as the picture was before it was inverted."""
    pixels = np.rint(x.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    if inverted:
        pixels = 255 - pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if (short := min(image.size)) < _SIDE:  # sharp edges, so that one sees what the network sees
        factor = -(-_SIDE // short)
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
    return data_uri(image)


def data_uri(image: Image.Image) -> str:
    """A PNG in the page itself."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
