"""``metaray cluster``: what surrounds the jobs on a cluster."""

from __future__ import annotations

import typer

from metaray.platform.cli.monitoring import monitoring

app = typer.Typer(help="Operate a Ray cluster.", no_args_is_help=True, rich_markup_mode="markdown")
app.command()(monitoring)
