"""``metaray export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaray.platform.common.terminal import waiting

EPILOG = (
    "Examples:\n\n"
    "  metaray export runs/omniglot --out models/letters\n\n"
    "  metaray export runs/omniglot --out models/letters --no-onnx\n\n"
    "  metaray predict --run models/letters --support few --query new"
)


def export(
    run: Annotated[str, typer.Argument(help="Run: a folder or a URI; or a saved model.")],
    out: Annotated[Path, typer.Option(metavar="PATH", help="New folder for the model.")],
    onnx: Annotated[
        bool, typer.Option("--onnx/--no-onnx", help="Write .onnx and .pt2 files too.")
    ] = True,
) -> None:
    """Write a trained model into a folder that other programs read.

    The folder holds weights (safetensors), config.json, a model card, and the networks as
    `.onnx` and `.pt2` files: the embedding, and of a metric method the classifier with the support
    set as an input. Each is loaded again and compared with the model. `mr.load`, `metaray predict`
    and `metaray serve` take the folder.
    """
    from metaray.algorithms.paths import user_path
    from metaray.platform.cli.output import console
    from metaray.platform.run.saved_model_directory import SavedModelDirectory

    SavedModelDirectory.check_free(user_path(out))
    with waiting(console, "exporting"):
        from metaray.platform.api.exporting import export as story

        written = story(run, out, onnx=onnx)
    for one in written:
        console.print(
            f"{one.file}: {', '.join(one.inputs)} -> {one.output}; largest relative difference "
            f"from the model {one.difference:.1e}"
        )
    console.print(f"model: {out}")
