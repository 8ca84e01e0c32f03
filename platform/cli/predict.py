"""``metaray predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metaray.platform.common.terminal import waiting

if TYPE_CHECKING:
    from metaray.platform.inference.predict import Outcome

EPILOG = (
    "Examples:\n\n"
    "  metaray predict --run runs/omniglot --support letters --query scans\n\n"
    "  metaray predict --run runs/omniglot --support letters --query scans --out found.csv "
    "--html found.html\n\n"
    "  metaray predict --run runs/birds --support few.csv --query camera.zip --reject\n\n"
    "  metaray predict --run runs/finetuned --query camera.zip\n\n"
    "A folder of support pictures has a folder for each class, with one or more pictures."
)


def predict(
    run: Annotated[str, typer.Option("--run", help="Trained run, or an exported model.")],
    query: Annotated[
        Path,
        typer.Option(help="Pictures to predict: a folder, a zip, one picture, or a CSV."),
    ],
    support: Annotated[
        Path | None,
        typer.Option(
            help="Pictures with labels: a folder of class folders, a zip, or a CSV [the classes "
            "of the training, for a transfer job that trained a classifier]."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the predictions: .csv, .jsonl or .parquet.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Page that shows each picture beside the support pictures like it."),
    ] = None,
    reject: Annotated[
        bool, typer.Option("--reject", help="Reject pictures that are of none of the classes.")
    ] = False,
    invert: Annotated[
        bool | None,
        typer.Option(
            "--invert/--no-invert", help="Exchange dark and light, or not [as in training]."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1 or mps.")
    ] = "auto",
) -> None:
    """Predict the classes of your own pictures, from a few with labels.

    The model learns the classes of the support pictures and names the class of each query, with
    probabilities that were calibrated on validation episodes. Pictures may be of any size and
    common format: they are prepared as those of the training were. Where the queries lie in
    folders named as the classes, accuracy, F1 and confusion are shown too.
    """
    from metaray.platform.cli.output import console, counting

    with waiting(console, "loading"):
        from metaray.platform.api.loading import load_learner
        from metaray.platform.inference.predict import predict_folder
        from metaray.platform.inference.writers import check_ending

        if out is not None:
            check_ending(out)
        learner = load_learner(run)
        if device != "auto":
            learner = learner.on(device)
    with waiting(console, "learning the classes"):
        model = (
            learner.classifier(invert=invert)
            if support is None
            else learner.adapt(support, invert=invert)
        )
    with counting("predicting") as started:
        outcome = predict_folder(model, query, out=out, html=html, reject=reject, started=started)
    _print(outcome, reject, out, html)


def _print(outcome: Outcome, reject: bool, out: Path | None, html: Path | None) -> None:
    from rich.table import Table

    from metaray.platform.cli.output import console
    from metaray.platform.common.formatting import percent, plural

    tally = outcome.tally
    if out is None:
        table = Table("file", "label", "probability", box=None, pad_edge=False)
        for one in outcome.first:
            if one.probabilities is None:
                table.add_row(one.file, "cannot be read", "")
                continue
            label = "none of these" if reject and one.refused else tally.classes[one.best]
            table.add_row(one.file, label, percent(one.probability, 1))
        console.print(table)
        if (left := tally.count - len(outcome.first)) > 0:
            console.print(f"and {left:,} more: --out FILE.csv writes all of them")
    for one in tally.unread:
        console.print(f"not predicted: {one.error}")
    scores = tally.scores()
    if scores is not None:
        low, high = percent(scores["accuracy_low"], 1), percent(scores["accuracy_high"], 1)
        console.print(
            f"accuracy {percent(scores['accuracy'], 1)} (95 % interval {low} to {high}, "
            f"{plural(scores['num_labelled'], 'picture')}), macro F1 "
            f"{percent(scores['macro_f1'], 1)}, calibration error {percent(scores['ece'], 1)}"
        )
        if reject:
            accepted = scores["wrongly_accepted"]
            also = "" if accepted is None else f", wrongly accepted {percent(accepted, 1)}"
            console.print(f"wrongly rejected {percent(scores['wrongly_refused'], 1)}{also}")
    for sentence in outcome.sentences:
        console.print(sentence)
    if reject:
        console.print(f"{plural(tally.refused, 'picture')} rejected")
    for what, place in (("predictions", out), ("page", html)):
        if place is not None:
            console.print(f"{what}: {place}")
