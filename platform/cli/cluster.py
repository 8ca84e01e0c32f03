"""``metaray cluster``: clusters and what they need."""

from __future__ import annotations

import typer

from metaray.platform.cli import manifest

app = typer.Typer(help="Start clusters, here and elsewhere.", no_args_is_help=True)
app.command(epilog=manifest.EPILOG)(manifest.manifest)


@app.callback()
def _group() -> None:
    """Keep `manifest` a sub-command while it is the only one."""
