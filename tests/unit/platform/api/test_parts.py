"""Methods, networks and data sets as Python values."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import metaray as mr
from metaray.algorithms.registry import METHODS
from metaray.platform.api import datasets, methods, models
from metaray.platform.api.settings import nested, overrides

BUILDERS = {
    name: found
    for module in (methods, datasets, models)
    for name, found in vars(module).items()
    if name[0].isupper() and inspect.isfunction(found)
}


def test_every_method_has_a_builder() -> None:
    built = [build().name for name, build in BUILDERS.items() if name in vars(methods)]
    assert sorted(built) == sorted(METHODS)


@pytest.mark.parametrize("name", BUILDERS)
def test_help_describes_every_setting(name: str) -> None:
    build = BUILDERS[name]
    parameters = inspect.signature(build).parameters
    assert len(parameters) > 0
    doc = inspect.getdoc(build)
    assert doc is not None
    for parameter in parameters:
        _, found, meaning = doc.partition(f"{parameter}: ")
        assert found, f"{parameter} is missing"
        assert meaning.split("(default")[0].strip(), f"{parameter} is not described"


def test_help_has_the_defaults_of_the_config() -> None:
    doc = inspect.getdoc(mr.MAML)
    assert doc is not None
    assert "inner_lr: inner step size" in doc
    assert "(default 0.4, unless published)" in doc


def test_a_setting_that_does_not_exist_is_named_with_the_nearest() -> None:
    with pytest.raises(mr.InputError, match="MAML has no setting inner_rl: did you mean inner_lr"):
        mr.MAML(inner_rl=0.1)  # type: ignore[call-arg]
    with pytest.raises(mr.InputError, match="Conv4 has no setting wdth: did you mean width"):
        mr.models.Conv4(wdth=32)  # type: ignore[call-arg]


def test_a_wrong_value_is_refused_by_the_trainer() -> None:
    with pytest.raises(mr.InputError, match=r"method\.inner_lr = -1 is not valid"):
        mr.Trainer(mr.MAML(inner_lr=-1))


def test_an_input_error_is_a_value_error() -> None:
    assert issubclass(mr.InputError, ValueError)


def test_what_is_left_open_is_as_published() -> None:
    trainer = mr.Trainer(mr.MAML(inner_lr=0.3), mr.datasets.Omniglot("raw"), ways=20, shots=5)
    from metaray.platform.experiment.meta import META

    same = META.load(
        None,
        [
            "method.name=maml",
            "method.inner_lr=0.3",
            "data.name=omniglot",
            f"data.root={Path('raw').absolute()}",
            "task.ways=20",
            "task.shots=5",
            "workers.count=0",
        ],
    )
    assert trainer.config == same


def test_the_network_of_the_method_is_the_network_of_the_run() -> None:
    config = mr.Trainer(mr.ProtoNet(mr.models.ResNet12(width=16, drop_block=0.1))).config
    assert (config.model.name, config.model.width, config.model.drop_block) == ("resnet12", 16, 0.1)


def test_settings_by_path_and_by_section_mean_the_same() -> None:
    by_path = mr.Trainer(settings={"evaluate.num_episodes": 7, "seed": 3}).config
    by_section = mr.Trainer(settings={"evaluate": {"num_episodes": 7}}, seed=3).config
    assert by_path == by_section


def test_an_argument_wins_over_settings_and_none_leaves_open() -> None:
    assert nested({"task.ways": 3}, {"task": {"ways": 5}}) == {"task": {"ways": 5}}
    assert nested({"task.ways": 3}, {"task": {"ways": None}}) == {"task": {"ways": 3}}


def test_overrides_carry_data_sets_and_paths() -> None:
    data = mr.datasets.Folder(Path("photos"), split="random")
    items = overrides(None, {"data": data})
    assert items == ["data.name=folder", "data.root=photos", "data.split=random"]


def test_workers_is_a_number_or_a_section() -> None:
    assert mr.Trainer(workers=3).config.workers.count == 3
    assert mr.Trainer(workers={"count": 2, "cpus": 0.5}).config.workers.cpus == 0.5
    assert mr.Trainer().config.workers.count == 0
