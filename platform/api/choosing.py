"""``mr.choose``: what learns best from few labels on your pictures, over a frozen encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.platform.api.choice import METHODS_TRIED, ChoiceOptions, comparison_folder
from metaray.platform.api.comparison import Comparison
from metaray.platform.api.parts import Settings
from metaray.platform.api.process import console_for, ray_address, torch_settings_kept
from metaray.platform.api.run import Run, place_of
from metaray.platform.common.formatting import plural
from metaray.platform.config.values import set_value

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Point:
    """The test of one method at one number of labels."""

    accuracy: float
    ci95: float


class MethodChoice:
    """The folder of ``choose``: the features, and a comparison on them."""

    def __init__(self, folder: str | Path) -> None:
        """Open what ``choose`` wrote.

        Raises:
            InputError: it did not, or has not come to its end.
        """
        self.folder = user_path(folder)
        self.comparison = Comparison(comparison_folder(self.folder))

    @property
    def accuracies(self) -> dict[str, dict[int, Point]]:
        """By method and by labels per class; InputError as of ``Comparison.summary``."""
        summary = self.comparison.summary
        entries: list[Mapping[str, Any]] = summary["entries"]
        return {
            entry["entry"]: {
                point["shots"]: Point(point["score"], point["ci95"])
                for point in entry["curve"]
                if point["ways"] == summary["ways"]
            }
            for entry in entries
        }

    @property
    def table(self) -> pd.DataFrame:
        """Accuracy with a row for each method and a column for each number of labels."""
        import pandas as pd

        rows = {
            name: {shots: point.accuracy for shots, point in points.items()}
            for name, points in self.accuracies.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").sort_index(axis=1)

    @property
    def best(self) -> dict[int, str]:
        """The most accurate method by labels per class."""
        found: dict[int, tuple[float, str]] = {}
        for name, points in self.accuracies.items():
            for shots, point in points.items():
                found[shots] = max(found.get(shots, (-1.0, "")), (point.accuracy, name))
        return {shots: name for shots, (_, name) in sorted(found.items())}

    def run(self, shots: int) -> Run:
        """The best run for this number of labels per class, ready for ``adapt``.

        Raises:
            InputError: this number was not tried.
        """
        if shots not in self.best:
            raise InputError(
                f"{self.folder} has no test with {plural(shots, 'label')} per class: it has "
                f"{', '.join(map(str, self.best))}"
            )
        return self.comparison.run(self.best[shots], self.comparison.summary["seeds"][0])

    @override
    def __repr__(self) -> str:
        best = ", ".join(f"{shots}: {name}" for shots, name in self.best.items())
        return f"MethodChoice({str(self.folder)!r}, best by labels {best})"

    def _repr_html_(self) -> str:
        html: str = self.table.to_html(float_format="{:.4g}".format)
        return html


def choose(
    folder: str | Path,
    encoder: Run | str | Path,
    *,
    weights: str | None = None,
    methods: Sequence[str] | None = None,
    shots: Sequence[int] = (1, 5, 20),
    seconds: float = 60.0,
    episodes: int = 600,
    out: str | Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    settings: Settings | None = None,
    progress: bool = True,
    address: str | None = None,
) -> MethodChoice:
    """Find out what learns best from few labels on your pictures, over a frozen encoder.

    The features of all pictures are computed once. Then heads on them, and networks that are
    meta-trained or fine-tuned on them, are tested on the same episodes of classes that were held
    out. Called again with the same ``out``, it continues.

    Args:
        folder: with a folder of pictures for each class, a zip of one, or a CSV file of the columns
            path and label.
        encoder: a run or its folder, ``torchvision:ARCH`` or ``timm:ARCH``.
        weights: file with the weights of such a network.
        methods: that are tried; None: four heads and four that are trained.
        shots: labels per class at which each is tested.
        seconds: of training, for each method that is trained.
        episodes: of the test, at each number of labels.
        out: new folder; None: a name with the time in ``runs``.
        workers: processes that embed; None: as many as cores.
        device: that embeds: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        settings: any other settings of all methods by path; those of ``train`` and ``model`` are
            for the methods that are trained, those of ``data`` for the pictures.
        progress: show progress.
        address: Ray cluster; None: the Ray that this process uses, else a new one.

    Returns:
        The choice; ``choice.run(5)`` is the best run for five labels per class.

    Raises:
        InputError: there are too few classes or pictures, or an argument is wrong.
        Stopped: it was interrupted; call it again with the same ``out``.
    """
    from metaray.platform.api.choice import make_choice

    options = ChoiceOptions(
        folder=user_path(folder), encoder=place_of(encoder), weights=weights,
        methods=tuple(METHODS_TRIED) if methods is None else tuple(methods), shots=tuple(shots),
        seconds=seconds, episodes=episodes, workers=workers, device=device,
        overrides=[f"{key}={set_value(value)}" for key, value in (settings or {}).items()],
    )  # fmt: skip
    with torch_settings_kept(), console_for(progress) as console:
        return MethodChoice(make_choice(options, out, console, ray_address(address)))
