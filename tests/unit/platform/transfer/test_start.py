"""Networks of other runs as a start: of transfer jobs, and of meta-training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.algorithms.models.build import build_backbone
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.run.checkpoint import read_checkpoint
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.provenance import DataRecord
from metaray.platform.training.pretrained import PretrainedEncoder
from metaray.platform.training.transfer.blueprint import Domains
from metaray.platform.training.transfer.initialization import initial_state

Make = Callable[..., Any]
QUIET = [Terminal(Console(quiet=True))]


@pytest.fixture(scope="module")
def fine_tuned(squares: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("fine") / "run"
    config = TRANSFER.load(None, [*squares, "workers.precision=float32"])
    runner.new(config, folder, "local", QUIET)
    return folder


def meta_trained(folder: Path, tiny: list[str], method: str, *sets: str) -> Path:
    more = [f"method.name={method}", "model.name=conv4", "model.width=4", "train.outer_steps=1"]
    config = META.load(None, [*tiny, *more, *sets])
    runner.new(config, folder, "local", QUIET)
    return folder


def test_fine_tuning_starts_from_fine_tuning(fine_tuned: Path, squares: list[str]) -> None:
    """The network and the size of the images follow the run; the head is new."""
    sets = [s for s in squares if not s.startswith(("model.", "data.image_size"))]
    config = TRANSFER.load(None, [*sets, f"init.checkpoint={fine_tuned}"])
    assert config.model.width == 4
    beginning = initial_state(config, Domains.open(config))
    origin = beginning.origin
    assert origin is not None
    assert set(origin.left) == {"head.weight", "head.bias"}
    assert origin.statistics == "own"
    found = PretrainedEncoder.read(fine_tuned).checkpoint
    for mine, theirs in zip(beginning.checkpoint.named, found.named, strict=True):
        for name, value in mine.items():
            same = torch.equal(value, theirs[name].double())
            assert same != name.startswith("head.")


def test_a_checkpoint_may_be_named_itself(fine_tuned: Path) -> None:
    path = sorted((fine_tuned / "checkpoints").iterdir())[0]
    network = PretrainedEncoder.read(path)
    assert network.checkpoint.step == read_checkpoint(path).step == 3
    assert network.run.path == fine_tuned


@pytest.mark.parametrize("method", ["maml", "protonet", "reptile", "mamlpp"])
def test_a_meta_learner_starts_from_a_job_and_a_job_from_it(
    fine_tuned: Path, squares: list[str], tiny: list[str], tmp_path: Path, method: str
) -> None:
    start = f"init.checkpoint={fine_tuned}"
    folder = meta_trained(tmp_path / "meta", tiny, method, start)
    record = DataRecord.read(RunDirectory(folder))
    assert record.init is not None
    assert record.init["trained_by"] == "finetune"
    first = read_checkpoint(folder / "checkpoints" / "step-00000000.safetensors")
    encoder = PretrainedEncoder.read(fine_tuned).checkpoint.named[0]["block0.conv"]
    assert torch.equal(first.named[0]["block0.conv"], encoder)
    if method == "mamlpp":  # a norm for each inner step, which no other network has
        return
    config = TRANSFER.load(None, [*squares, f"init.checkpoint={folder}"])
    beginning = initial_state(config, Domains.open(config))
    assert beginning.origin is not None
    kept = "own" if method == "protonet" else "estimated"
    assert beginning.origin.statistics == kept
    statistics = beginning.checkpoint.named[1]
    assert set(statistics) == {f"block{i}.norm.{k}" for i in range(4) for k in ("mean", "var")}
    assert not torch.equal(statistics["block0.norm.mean"], torch.zeros(4).double())


@pytest.mark.parametrize("method", ["protonet", "baseline", "baselinepp"])
def test_an_encoder_is_tested_on_few_shots_without_training(
    fine_tuned: Path, tiny: list[str], tmp_path: Path, method: str
) -> None:
    """Nearest centroid, a linear head, or one of cosines, over the features as they are."""
    sets = [*tiny, f"method.name={method}", f"init.checkpoint={fine_tuned}", "train.outer_steps=0"]
    sets = [s for s in sets if not s.startswith("model.")]
    summary = runner.new(META.load(None, sets), tmp_path / "run", "local", QUIET)
    assert (summary["outer_steps"], summary["tested_step"]) == (0, 0)
    [tested] = (tmp_path / "run" / "checkpoints").iterdir()
    encoder = PretrainedEncoder.read(fine_tuned).checkpoint.named[0]["block0.conv"]
    assert torch.equal(read_checkpoint(tested).named[0]["block0.conv"], encoder)
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (["model.width=8"], "block0.conv is 4x1x3x3 in place of 8x1x3x3"),
        (["data.channels=3"], "block0.conv is 4x1x3x3 in place of 4x3x3x3"),
        (["model.name=resnet12"], "is missing"),
    ],
)
def test_another_network_is_refused_by_layer(
    fine_tuned: Path, squares: list[str], sets: list[str], sentence: str
) -> None:
    config = TRANSFER.load(None, [*squares, f"init.checkpoint={fine_tuned}", *sets])
    with pytest.raises(InputError, match=sentence):
        initial_state(config, Domains.open(config))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run directory"):
        TRANSFER.load(None, [f"init.checkpoint={tmp_path}"])


def test_weights_of_torchvision_are_a_start(squares: list[str], tmp_path: Path) -> None:
    import torchvision.models

    path = tmp_path / "weights.pt"
    torch.save(torchvision.models.resnet18(num_classes=1000).state_dict(), path)
    sets = [s for s in squares if not s.startswith("model.")]
    network = ["model.name=torchvision", f"model.weights={path}", "data.image_size=32"]
    config = TRANSFER.load(None, [*sets, *network])
    beginning = initial_state(config, Domains.open(config))
    backbone = build_backbone(config.model, (1, 32, 32))
    weights = backbone.init(torch.Generator())[0]["layer1.0.conv1.weight"]
    assert torch.equal(beginning.checkpoint.named[0]["layer1.0.conv1.weight"], weights.double())


def test_adaptation_has_group_norm_unless_the_network_was_trained_with_another(
    fine_tuned: Path,
) -> None:
    job = ["job.name=dann", "target.name=glyphs"]
    assert TRANSFER.load(None, job).model.norm == "group"
    assert TRANSFER.load(None, [*job, "model.name=resnet12"]).model.norm == "group"
    assert TRANSFER.load(None, [*job, f"init.checkpoint={fine_tuned}"]).model.norm == "batch"
    assert TRANSFER.load(None, [*job, "model.name=mlp"]).model.norm == "batch"
