"""Settings: layers, recipes, and one clear sentence for each kind of mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from metaray.algorithms.errors import InputError
from metaray.algorithms.registry import METHODS
from metaray.algorithms.tasks.catalog import DATASETS
from metaray.platform.config.complaints import known_keys
from metaray.platform.config.loading import changed_keys, override, read_config
from metaray.platform.config.meta import RunConfig
from metaray.platform.config.tree import flat
from metaray.platform.experiment.meta import META


def test_later_layers_win(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("seed = 3\n[method]\nname = 'anil'\ninner_steps = 2\n[task]\nshots = 5\n")
    config = META.load(file, ["method.inner_steps=4", "data.name=omniglot"])
    assert config.seed == 3
    assert config.method.name == "anil"
    assert config.method.inner_steps == 4
    assert config.task.shots == config.task.train_shots == config.task.train_queries == 5
    assert config.method.inner_lr == 0.1  # the recipe's


@pytest.mark.parametrize("data", list(DATASETS))
@pytest.mark.parametrize("shots", [1, 5])
@pytest.mark.parametrize("ways", [5, 20])
@pytest.mark.parametrize("method", METHODS)
def test_every_recipe_resolves_and_round_trips(
    method: str, ways: int, shots: int, data: str, tmp_path: Path
) -> None:
    sets = [f"method.name={method}", f"data.name={data}"]
    if data != "sinusoid":
        sets += [f"task.ways={ways}", f"task.shots={shots}"]
    config = META.load(None, sets)
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config.model_dump() | {"versions": {}}))
    assert read_config(RunConfig, file) == config


@pytest.mark.parametrize("method", METHODS)
def test_a_file_with_every_setting_gives_the_config_it_was_written_from(
    method: str, tmp_path: Path
) -> None:
    config = META.load(None, [f"method.name={method}", "seed=7", "task.shots=5"])
    settings = {key: value for key, value in flat(config.model_dump()) if value is not None}
    file = tmp_path / "run.toml"  # TOML has no null; strings, numbers and lists are as in JSON
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    assert META.load(file) == config


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("task.shotz=5", "unknown setting task.shotz: did you mean task.shots?"),
        ("method.inner_lrr=1", "unknown setting method.inner_lrr: did you mean method.inner_lr?"),
        ("outer_steps=5", "unknown setting outer_steps: did you mean train.outer_steps?"),
        ("method.name=mamll", "method.name = 'mamll' is not one of .*, did you mean maml?"),
        ("data.name=omniglott", "data.name = 'omniglott' is not one of .*did you mean omniglot?"),
        ("train.meta_lr=-1", "train.meta_lr = -1 is not valid: input should be greater than 0"),
        ("train.outer_steps=many", 'train.outer_steps = "many" is text, not a number'),
        ("task.train_ways=7", r"task.train_ways \(7\) must equal task.ways \(5\)"),
        ("workers.device=gpu", "workers.device = 'gpu' is not valid"),
        ("method={name='mann', read_heads=200}", r"read_heads = 200 for .*slots = 128: lower the"),
        ("train.meta_lr", "--set takes key=value, got 'train.meta_lr'"),
        ("seed.x=1", "seed"),
    ],
)
def test_mistakes_are_named(setting: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        META.load(None, [setting])
    assert "\n" not in str(caught.value)


def test_a_setting_of_another_method_is_unknown() -> None:
    with pytest.raises(InputError, match="unknown setting method.inner_batch"):
        META.load(None, ["method.name=maml", "method.inner_batch=4"])


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read .*missing.toml: No such file"):
        META.load(tmp_path / "missing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[task\nways = 5")
    with pytest.raises(InputError, match=r"broken.toml is not valid TOML: .*line 1"):
        META.load(broken)
    broken.write_text("{}")
    read = read_config(RunConfig, broken)
    assert read.method == RunConfig().method
    assert read.workers.derivatives == "autograd"  # as before there was a choice
    broken.write_text("[]")
    with pytest.raises(InputError, match="is not the config of a run"):
        read_config(RunConfig, broken)


def test_known_keys_are_leaves_over_all_methods() -> None:
    keys = known_keys(RunConfig)
    assert {"seed", "task.ways", "method.inner_lr", "method.inner_batch", "data.root"} <= set(keys)
    assert "task" not in keys


def test_override_changes_one_thing() -> None:
    before = RunConfig()
    after = override(before, ["evaluate.num_episodes=7"])
    assert changed_keys(before, after) == ["evaluate.num_episodes"]
    assert after.evaluate.num_episodes == 7


def test_every_setting_has_a_meaning() -> None:
    sections = [f.annotation for f in RunConfig.model_fields.values()]
    models = [m for m in sections if isinstance(m, type) and issubclass(m, BaseModel)]
    models += METHODS.values()
    without = [
        f"{model.__name__}.{key}"
        for model in models
        for key, field in model.model_fields.items()
        if not field.description and key != "name"
    ]
    assert without == []
