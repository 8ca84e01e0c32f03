"""How sure a run may be: measured on validation episodes, with classes that are left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from metaray.algorithms.episode import Episode, with_fewer_classes
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.run.calibration import Calibration
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.provenance import DataRecord
from metaray.platform.training.meta.calibration import calibration_of

QUIET = [Terminal(Console(quiet=True))]


def trained(folder: Path, sets: list[str]) -> RunDirectory:
    runner.new(META.load(None, sets), folder, "local", QUIET)
    return RunDirectory(folder)


def test_classes_leave_the_support_set_and_stay_among_the_queries() -> None:
    y = torch.tensor([[2, 0, 1, 0, 1, 2], [1, 2, 0, 2, 0, 1]])
    x = y[..., None].float()
    less = with_fewer_classes(Episode(x, y, x, y, torch.zeros(2, dtype=torch.int64)), 2)
    assert less.support_y.tolist() == [[0, 1, 0, 1], [1, 0, 0, 1]]
    assert torch.equal(less.support_x[..., 0], less.support_y.float())
    assert torch.equal(less.query_y, torch.cat([less.support_y, y], dim=1))
    assert torch.equal(less.query_x[..., 0], less.query_y.float())


def test_what_is_measured_is_not_what_has_set_it() -> None:
    """Logits 20 times too large: even episodes give the temperature, which helps on odd ones."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1, *np.repeat([0, 1, 2], 10)], (400, 1))  # class 2: not in the support
    signal = np.eye(3)[labels][..., :2] * 1.5 + rng.gumbel(size=(400, 32, 2))
    found = calibration_of(20 * signal, labels, shots=1, step=7)
    assert (found.step, found.ways, found.shots, found.num_episodes) == (7, 2, 1, 400)
    assert found.temperature > 5
    assert found.ece_after < 0.05 < found.ece_before
    rule = found.refusal
    assert rule is not None
    assert 0 < rule.wrongly_refused < 1
    assert rule.separation > 0.5
    flipped = calibration_of(20 * signal[[1, 0, *range(2, 400)]], labels, shots=1, step=7)
    assert flipped.ece_after != found.ece_after


def test_unknown_classes_that_are_far_away_are_all_refused() -> None:
    labels = np.tile([0, 1, *np.tile([0, 1, 2, 3], 3)], (8, 1))
    logits = (
        np.where(labels[..., None] == np.arange(2), 0.0, -9.0) - 40.0 * (labels >= 2)[..., None]
    )
    rule = calibration_of(logits, labels, shots=1, step=0).refusal
    assert rule is not None
    assert (rule.wrongly_refused, rule.wrongly_accepted, rule.separation) == (0.0, 0.0, 1.0)
    assert calibration_of(logits[:, :4], labels[:, :4], shots=1, step=0).refusal is None


@pytest.mark.parametrize("method", ["protonet", "maml"])
def test_a_run_says_it_of_the_parameters_that_were_tested(
    tiny: list[str], tmp_path: Path, method: str
) -> None:
    run = trained(tmp_path / "run", [*tiny, f"method.name={method}", "task.ways=3"])
    found = Calibration.read(run.calibration)
    assert found is not None
    assert found.step == json.loads(run.summary.read_text())["tested_step"]
    assert (found.ways, found.num_episodes) == (3, 10)
    assert found.refusal is not None
    again = trained(tmp_path / "again", [*tiny, f"method.name={method}", "task.ways=3"])
    assert Calibration.read(again.calibration) == found


def test_a_validation_class_is_left_out_where_there_are_few(
    tiny: list[str], tmp_path: Path
) -> None:
    """32 classes of the random split: 20 for training, 5 for validation, the ways of the test."""
    few = [*tiny, "data.num_classes=32", "data.split=random", "task.ways=5", "data.rotations=none"]
    for method, ways in (("protonet", 4), ("maml", 5)):
        run = trained(tmp_path / method, [*few, f"method.name={method}"])
        found = Calibration.read(run.calibration)
        assert found is not None
        assert found.ways == ways
        assert (found.refusal is None) == (method == "maml")


def test_a_regression_has_none(tiny: list[str], tmp_path: Path) -> None:
    sets = [s for s in tiny if not s.startswith(("data.", "model."))]
    run = trained(tmp_path / "run", [*sets, "data.name=sinusoid"])
    assert Calibration.read(run.calibration) is None
    assert DataRecord.read(run).preprocessing is None


def test_the_preprocessing_is_recorded(tiny: list[str], tmp_path: Path) -> None:
    recorded = DataRecord.read(trained(tmp_path / "run", tiny)).preprocessing
    assert recorded is not None
    assert recorded.input_shape == (1, 16, 16)
    assert recorded.inverted
    assert recorded.seen is not None
    assert recorded.seen.ground < 0.1
    assert Preprocessing.from_json(recorded.as_json()) == recorded


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text('{"step": -1}')
    with pytest.raises(InputError, match="metaray evaluate"):
        Calibration.read(path)
