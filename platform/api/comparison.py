"""A comparison and its results as a Python object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.algorithms.reading import read_object, refusing_damage
from metaray.platform.api.display import html_table
from metaray.platform.api.process import console_for, ray_address, torch_settings_kept
from metaray.platform.api.run import Run
from metaray.platform.callbacks.base import Callback
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.compare.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

_AGAIN = "write it again with metaray compare --resume"
_OPEN = "not ended yet"
_COSTS = ("train_s", "outer_steps", "tasks_per_s", "adaptation_s", "num_parameters")


class Comparison:
    """A comparison in its folder: what ``compare`` and ``load`` return.

    Everything is read from the folder when it is asked for: ``compare.html``, the plots, and a run
    directory for each run.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open the comparison in a folder.

        Raises:
            InputError: no comparison is there.
        """
        self.folder = user_path(folder)
        self._directory = CompareDirectory.open(self.folder)

    @property
    def summary(self) -> dict[str, Any]:
        """All numbers, as in ``summary.json``.

        Raises:
            InputError: the comparison has not come to its end yet.
        """
        self._check_concluded()
        path = self._directory.summary
        return read_object(path, f"{path} is not the result of a comparison", _AGAIN)

    @property
    def best(self) -> str:
        """Name of the entry with the best score; InputError as of ``summary``."""
        return str(self.summary["entries"][0]["entry"])

    @property
    def table(self) -> pd.DataFrame:
        """A row for each entry, the best first.

        ``accuracy`` (or ``mse``) and ``ci95`` are over the episodes of all seeds;
        ``classes_ci95`` is half the interval over classes, the mean of the seeds; ``difference``
        is to the reference, with p-values corrected by Holm's method.

        Raises:
            InputError: as of ``summary``.
        """
        import pandas as pd

        summary = self.summary
        rows = [_row(entry, summary["score"]) for entry in summary["entries"]]
        return pd.DataFrame(rows).set_index("entry")

    @property
    def episodes(self) -> pd.DataFrame:
        """A row for each run and test episode; InputError as of ``summary``."""
        import pandas as pd

        self._check_concluded()
        path = self._directory.episodes
        with refusing_damage(f"{path} is not a table of episodes", _AGAIN):
            return pd.read_parquet(path)

    def run(self, entry: str, seed: int) -> Run:
        """One of the runs; InputError if there is none with a result."""
        for found in self._directory.runs(Plan.read(self._directory.plan)):
            if (found.entry, found.seed) == (entry, seed) and found.measures.is_file():
                return Run(found.path)
        raise InputError(f"{self.folder} has no result of {entry} with seed {seed}")

    def resume(
        self,
        *,
        parallel: int | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        address: str | None = None,
    ) -> Comparison:
        """Do what is left: unfinished runs continue from their checkpoints.

        Runs that have a result are kept, and failed ones are tried again.

        Args:
            parallel: runs at once; as many as there is room for if left out.
            callbacks: follow the comparison and can stop it, as those of ``compare``.
            progress: show progress.
            address: Ray cluster; None: the Ray that this process uses, else a new one.

        Returns:
            This comparison.

        Raises:
            InputError: a run needs what the cluster does not have, or no run has a result.
            Stopped: the comparison was interrupted again.
        """
        from metaray.platform.compare import compare as story

        options = story.LaunchOptions(ray_address(address), parallel, tuple(callbacks))
        with torch_settings_kept(), console_for(progress) as console:
            story.resume(self.folder, options, console)
        return self

    @override
    def __repr__(self) -> str:
        state = f"best {self.best}" if self._is_concluded else _OPEN
        return f"Comparison({str(self.folder)!r}, {state})"

    def _repr_html_(self) -> str:
        if not self._is_concluded:
            return html_table("Comparison", [("state", _OPEN), ("folder", str(self.folder))])
        html: str = self.table.to_html(float_format="{:.4g}".format)
        return html

    @property
    def _is_concluded(self) -> bool:
        return self._directory.summary.is_file()

    def _check_concluded(self) -> None:
        if not self._is_concluded:
            raise InputError(
                f"{self.folder} has no result yet: run the comparison to its end with .resume()"
            )


def _row(entry: Mapping[str, Any], score_name: str) -> dict[str, Any]:
    score, difference = entry["score"], entry["difference"] or {}
    return {
        "entry": entry["entry"],
        score_name: score["mean"],
        "ci95": score["ci95"],
        "classes_ci95": entry.get("classes_ci95"),
        "seed_sd": score["seed_sd"],
        "difference": difference.get("mean"),
        "difference_ci95": difference.get("ci95"),
        **{key: difference.get(key) for key in ("p_t", "p_wilcoxon", "p_seeds")},
        **{key: entry[key] for key in _COSTS},
    }
