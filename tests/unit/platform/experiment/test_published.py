"""Published results: their settings, and what is said of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.published import (
    PUBLISHED,
    changed_in,
    published,
    settings_of,
    verdict,
)
from metaray.platform.run.directory import RunDirectory

CURVES = published("metasgd-sinusoid-5")
IMAGES = published("protonet-omniglot-5way-1shot")


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_row_is_a_run(name: str) -> None:
    row = PUBLISHED[name]
    given = [f"{row.needs}=somewhere"] if row.needs else []
    config = META.load(None, settings_of(row, given))
    assert config.train.outer_steps >= 10_000, "the whole published schedule"
    assert ("mse" if config.data.is_regression else "accuracy") == row.metric


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (0.80, "published 0.900 (Li et al. 2017 (arXiv 1707.09835), table 1); here 0.800: within"),
        (1.07, "outside the expected 0.740 to 1.060"),
        (0.70, "better than the expected 0.740 to 1.060"),
    ],
)
def test_errors_are_better_below(found: float, sentence: str) -> None:
    assert sentence in verdict(CURVES, {"mse": found}, [])


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (0.985, "published 98.80 % (Snell et al. 2017 (arXiv 1703.05175), table 1); here 98.50 %"),
        (0.977, "outside the expected 97.80 % to 99.80 %"),
        (0.999, "better than the expected"),
    ],
)
def test_accuracies_are_better_above(found: float, sentence: str) -> None:
    assert sentence in verdict(IMAGES, {"accuracy": found}, [])


def test_no_band_above_all() -> None:
    row = published("protonet-omniglot-5way-5shot")
    assert "98.70 % to 100.00 %" in verdict(row, {"accuracy": 0.99}, [])


def test_another_schedule_is_not_judged(tmp_path: Path) -> None:
    """The settings of the run count, not those of the command that continued it."""
    run = RunDirectory(tmp_path)
    sets = [*CURVES.settings, "workers.count=2", "data.cache=x", "train.outer_steps=3"]
    run.config.write_text(META.load(None, sets).model_dump_json())
    assert changed_in(run, CURVES) == ["train.outer_steps"]
    said = verdict(CURVES, {"mse": 0.8}, ["train.outer_steps"])
    assert said.endswith("with other settings than published: train.outer_steps")


def test_what_is_missing_is_said() -> None:
    with pytest.raises(InputError, match=r"needs data.root: add --set data.root=PATH"):
        settings_of(IMAGES, [])
    with pytest.raises(InputError, match=r"'protonett' is none of the published results: maml-"):
        published("protonett")
