"""What commands print."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from metaray.algorithms.plugins import label_of

console = Console(highlight=False, soft_wrap=True)


def print_result(summary: dict[str, Any], place: str) -> None:
    """The result of a meta-test in three lines; ``place`` is where its user knows the run."""
    what = f"{label_of(summary['method'])} on {label_of(summary['dataset'])}"
    if summary["trained_on"] != summary["dataset"]:
        what += f", trained on {label_of(summary['trained_on'])}"
    tested = f"{summary['num_episodes']} test episodes, {summary['batch_norm']} batch norm"
    if summary["accuracy"] is None:
        console.print(
            f"[bold]{what}[/]: mean squared error [bold]{summary['mse']:.4f}[/] "
            f"± {summary['ci95']:.4f} (untrained {summary['baseline_mse']:.4f}; {tested})"
        )
    else:
        shape = f"{summary['ways']}-way {summary['shots']}-shot"
        console.print(
            f"[bold]{what}, {shape}[/]: accuracy [bold]{summary['accuracy']:.2%}[/] "
            f"± {summary['ci95']:.2%} (untrained {summary['baseline_accuracy']:.2%}; {tested})"
        )
    console.print(f"report: {place}/report.html")
