"""``best.toml``: the settings of the best trial, as the command that trains one takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metaray.algorithms.atomic import write_text
from metaray.platform.config.commands import settings_for
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.values import toml_tables
from metaray.platform.experiment.base import Experiment
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep.population import Rates


def write_best(
    experiment: Experiment[Any],
    config: ExperimentConfig,
    folder: SweepDirectory,
    lineage: Sequence[tuple[int, Rates]] = (),
) -> None:
    """The settings that the recipe of the best trial's method or job does not have, as TOML.

    A comment says where its rates changed while it trained, if they did.
    """
    settings = settings_for(config, experiment.resolve)
    write_text(folder.best, _changes(lineage) + toml_tables(settings))


def _changes(lineage: Sequence[tuple[int, Rates]]) -> str:
    if len(lineage) < 2:
        return ""
    lines = [
        "The rates of the best trial changed while it trained. What is below has the last of them",
        "from the start, and so does not train to the same accuracy; the trained result is in the",
        "folder of the trial. Its rates, from each step on:",
        *(
            f"  {step}: {', '.join(f'{path} = {rate:.6g}' for path, rate in rates.items())}"
            for step, rates in lineage
        ),
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n"
