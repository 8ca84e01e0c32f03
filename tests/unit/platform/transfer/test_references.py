"""What a job is compared with: fair settings and the same budget."""

from __future__ import annotations

from typing import Any

import pytest

from metaray.platform.config.transfer import TransferConfig
from metaray.platform.experiment.references import reference_config, training_text
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.report.transfer_words import REFERENCES

TARGET = ["target.name=glyphs", "target.division_seed=1"]


def config_of(*sets: str) -> TransferConfig:
    return TRANSFER.load(None, sets)


def test_every_reference_of_every_job_is_a_job() -> None:
    jobs = {
        "finetune": TARGET,
        "dann": TARGET,
        "distill": ["job.teacher=somewhere"],
        "simclr": [],
        "moco": [],
    }
    seen = set()
    for job, sets in jobs.items():
        config = config_of(f"job.name={job}", *sets)
        for name in config.job.references:
            reference = reference_config(config, name, 100, config.train.batch_size)
            assert reference.evaluate.references == ()
            assert (reference.seed, reference.model) == (config.seed, config.model)
            images = (reference.train.steps or 0) * reference.train.batch_size
            assert images == 100 * config.train.batch_size
            seen.add(name)
    assert seen == REFERENCES.keys()


def test_training_on_labels_does_not_inherit_what_suits_self_supervision() -> None:
    config = config_of("job.name=simclr", "train.lr=3", "train.warmup=0.2", "train.patience=4")
    train = reference_config(config, "supervised", 100, 256).train
    assert (train.optimizer, train.lr, train.warmup, train.patience) == ("sgd", 0.05, 0, 0)
    assert (train.batch_size, train.steps) == (64, 400)


@pytest.mark.parametrize("name", ["head", "scratch"])
def test_what_a_start_needs_is_no_measure_of_other_trainings(name: str) -> None:
    """A rate so small that the start is hardly left would leave these where they began."""
    config = config_of("train.lr=1e-5", "job.strategy=discriminative", "job.l2_sp=0.1")
    reference = reference_config(config, name, 100, 64)
    assert reference.train.lr > 0.01
    assert (reference.job.name, reference.evaluate.checkpoint) == ("finetune", "best")
    job: dict[str, Any] = reference.job.model_dump()
    assert job["l2_sp"] == 0
    assert job["strategy"] == ("head" if name == "head" else "full")


def test_the_same_training_less_something_has_the_settings_of_the_job() -> None:
    teacher = ["job.name=distill", "job.teacher=somewhere", "job.augment=true", "train.lr=0.3"]
    config = config_of(*teacher)
    alone = reference_config(config, "alone", 100, 64)
    assert alone.train == config.train.model_copy(update={"steps": 100})
    assert alone.job.model_dump()["augment"] is True
    adapted = config_of("job.name=dann", *TARGET, "train.lr=0.3", "job.label_hidden=[7]")
    for name in ("source_only", "target_supervised"):
        reference = reference_config(adapted, name, 100, 64)
        assert reference.train.lr == 0.3
        assert reference.evaluate.checkpoint == "last"
        job = reference.job.model_dump()
        assert (job["adaptation"], job["label_hidden"]) == ("none", (7,))


def test_how_a_reference_was_trained_is_said() -> None:
    config = config_of("job.name=moco")
    assert training_text(reference_config(config, "supervised", 1000, 256)) == (
        "4,000 steps of 64, sgd with a cosine rate of 0.05 and weight decay 0.0005"
    )
