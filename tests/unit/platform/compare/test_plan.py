from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metaray.algorithms.errors import InputError
from metaray.algorithms.recipes.quick import HEADS
from metaray.algorithms.registry import METHODS
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.compare.make_plan import make_plan, named_entries
from metaray.platform.compare.placement import check_fits
from metaray.platform.compare.plan import Plan
from metaray.platform.compare.request import parse_numbers
from metaray.platform.config.loading import changed_keys, override
from metaray.platform.distributed.resources import run_bundles
from metaray.platform.experiment.comparison import Budget
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.meta_comparison import META_COMPARISON
from metaray.platform.experiment.meta_curves import shapes_of
from metaray.platform.training.meta.episode_source import open_source

STEPS = Budget(unit="steps", amount=5)
NO_NORM = "evaluate.batch_norm=inductive"


@pytest.fixture(name="small")
def fixture_small(cache: Path) -> list[str]:
    return [f"data.cache={cache}", "data.num_classes=200", "data.image_size=16", "model.width=8"]


def planned(files: list[Path], methods: str | None, sets: list[str], **options: Any) -> Plan:
    return make_plan(named_entries(files, methods, sets), **options)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_all_methods_are_asked_the_same(small: list[str]) -> None:
    plan = planned([], "all", small, budget=STEPS, num_seeds=2)
    trained = [name for name, method in METHODS.items() if not method.of_frozen_features]
    assert [entry.name for entry in plan.entries] == trained
    assert plan.seeds == (0, 1)
    first = plan.entries[0].config
    for entry in plan.entries:
        assert entry.config.data == first.data
        assert entry.config.test_shape == first.test_shape
        assert entry.config.evaluate.num_episodes == first.evaluate.num_episodes
        assert entry.config.workers.count == 0
        assert entry.config.train.outer_steps == 5
        assert entry.config_of(7).seed == 7
    assert any("data.rotations = train" in note and "protonet" in note for note in plan.notes)
    assert any("transductive for some" in note for note in plan.notes)


def test_all_is_what_can_learn_the_data() -> None:
    plan = planned([], "all", ["data.name=sinusoid"], budget=STEPS)
    able = [name for name, cls in METHODS.items() if cls.learns_regression]
    assert sorted(entry.name for entry in plan.entries) == sorted(able)
    assert plan.curves.ways == ()
    with pytest.raises(InputError, match="protonet: protonet classifies"):
        planned([], "maml,protonet", ["data.name=sinusoid"], budget=STEPS)


def test_all_has_heads_where_the_data_are_features() -> None:
    heads = {name for name, method in METHODS.items() if method.of_frozen_features}
    assert heads == {*HEADS}
    for data, wanted in (("features", heads), ("omniglot", set())):
        named = META_COMPARISON.named("all", {"data": {"name": data}})
        assert {name for name, _ in named} & heads == wanted


def test_all_see_images_in_the_channels_of_an_encoder(small: list[str], tmp_path: Path) -> None:
    """An entry with init.checkpoint says them, as its network has them; others leave them open."""
    encoder = written(tmp_path / "encoder.toml", "[data]\nchannels = 1\n")
    plan = planned([encoder], "protonet", small, budget=STEPS)
    assert [entry.config.data.channels for entry in plan.entries] == [1, 1]
    colour = written(tmp_path / "colour.toml", "[data]\nchannels = 3\n")
    with pytest.raises(InputError, match="data.channels is 1 in one and 3 in the other"):
        planned([encoder, colour], None, small, budget=STEPS)


def test_what_a_user_sets_is_not_changed_behind_his_back(small: list[str], tmp_path: Path) -> None:
    mine = written(tmp_path / "mine.toml", "[data]\nrotations = 'all'\n")
    with pytest.raises(InputError, match=r"cannot be compared: data.rotations is all .* train"):
        planned([mine], "maml", small, budget=STEPS)
    other = written(tmp_path / "other.toml", "[task]\nshots = 5\n")
    with pytest.raises(InputError, match=r"task.shots is 5 in one and 1 in the other"):
        planned([other], "maml", small, budget=STEPS)


def test_all_are_tested_on_the_same_turns_and_groups(small: list[str], tmp_path: Path) -> None:
    """Recipes differ in whether quarter turns of a class are classes of the test."""
    own = {m: META.load(None, [*small, f"method.name={m}"]) for m in ("maml", "protonet")}
    assert [open_source(config).turns("test") for config in own.values()] == [1, 4]
    for names in ("maml,protonet", "protonet,maml"):
        plan = planned([], names, small, budget=STEPS)
        assert len({open_source(entry.config).turns("test") for entry in plan.entries}) == 1
    upright = written(tmp_path / "upright.toml", "[evaluate]\nrotations = 'none'\n")
    plan = planned([upright], "protonet", small, budget=STEPS)
    assert [entry.config.evaluate.rotations for entry in plan.entries] == ["none", "none"]
    said = META_COMPARISON.test_of(plan.common)
    assert (said["rotations"], said["within_group"]) == ("none", False)
    assert META_COMPARISON.test_of(own["protonet"])["rotations"] == "classes"
    turned = written(tmp_path / "turned.toml", "[evaluate]\nrotations = 'classes'\n")
    with pytest.raises(InputError, match=r"evaluate\.rotations is none in one and classes in the"):
        planned([upright, turned], None, small, budget=STEPS)
    grouped = written(tmp_path / "grouped.toml", "[task]\nwithin_group = true\n")
    with pytest.raises(InputError, match=r"task\.within_group is true in one and false in the"):
        planned([grouped], "maml", small, budget=STEPS)


def test_names(small: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'protonot' is not one of .*, did you mean protonet"):
        planned([], "maml,protonot", small, budget=STEPS)
    maml = written(tmp_path / "maml.toml", "[train]\nmeta_lr = 0.01\n")
    with pytest.raises(InputError, match="2 entries are called maml"):
        planned([maml], "maml", small, budget=STEPS)
    with pytest.raises(InputError, match="--reference 'x' is not one of maml"):
        planned([], "maml", small, budget=STEPS, reference="x")
    with pytest.raises(InputError, match="nothing to compare"):
        planned([], None, small, budget=STEPS)


def test_a_file_keeps_its_workers_and_shares_the_rest(small: list[str], tmp_path: Path) -> None:
    file = written(tmp_path / "big.toml", "[workers]\ncount = 3\n[method]\nname = 'anil'\n")
    plan = planned([file], "maml", small, budget=STEPS)
    assert [entry.config.workers.count for entry in plan.entries] == [3, 0]
    assert [len(run_bundles(entry.config.workers)) for entry in plan.entries] == [3, 1]


def test_budgets() -> None:
    config = META.resolve({"train": {"meta_batch_size": 32, "outer_steps": 600}})
    steps = META_COMPARISON.with_budget(config, Budget(unit="steps", amount=7)).train
    tasks = META_COMPARISON.with_budget(config, Budget(unit="tasks", amount=100)).train
    seconds = META_COMPARISON.with_budget(config, Budget(unit="seconds", amount=2.5)).train
    assert (steps.outer_steps, steps.time_budget_s) == (7, None)
    assert tasks.outer_steps == 4  # 100 / 32, rounded up
    assert (seconds.outer_steps, seconds.time_budget_s) == (600, 2.5)


def test_an_entry_without_training_gets_none(small: list[str], tmp_path: Path) -> None:
    file = written(
        tmp_path / "encoder.toml", '[method]\nname = "baseline"\n[train]\nouter_steps = 0'
    )
    plan = planned([file], "protonet", small, budget=STEPS)
    assert [entry.config.train.outer_steps for entry in plan.entries] == [0, 5]
    assert plan.notes[-1] == "Not trained, as train.outer_steps is 0: encoder."
    started = override(plan.entries[0].config, [f"init.checkpoint={tmp_path}"])
    (note,) = META_COMPARISON.notes({"encoder": started})
    assert note == "Tested as the run in init.checkpoint left it: encoder."


def test_curves_are_what_the_data_can_serve(small: list[str]) -> None:
    """A character has 20 drawings, so 15 shots leave 5 queries and 20 shots leave none."""
    plan = planned([], "maml,protonet", small, budget=STEPS)
    curves = plan.curves
    assert curves.shots == (1, 2, 5, 10, 15)
    assert curves.ways == (2, 5, 10, 20)
    assert curves.queries == 5
    maml, protonet = (shapes_of(entry.config, curves) for entry in plan.entries)
    assert {(s.ways, s.shots) for s in maml} == {(5, k) for k in curves.shots}
    assert {s.ways for s in protonet} == {2, 5, 10, 20}
    asked = planned([], "maml", small, budget=STEPS, shots=[18], ways=[5]).curves
    assert (asked.shots, asked.queries) == ((1, 18), 2)
    with pytest.raises(InputError, match="20 images, fewer than 20 shots"):
        planned([], "maml", small, budget=STEPS, shots=[20])
    with pytest.raises(InputError, match="fewer than the 500 ways"):
        planned([], "maml", small, budget=STEPS, ways=[500])


def test_a_gpu_is_used_only_when_reserved(small: list[str]) -> None:
    plan = planned([], "maml", small, budget=STEPS)
    assert plan.entries[0].config.workers.device == "cpu"
    with pytest.raises(InputError, match="without reserving a GPU"):
        planned([], "maml", [*small, "workers.device=cuda"], budget=STEPS)


def test_what_can_never_fit_is_refused(small: list[str]) -> None:
    plan = planned([], "maml", [*small, "workers.count=4"], budget=STEPS)
    check_fits(plan, [{"CPU": 2.0}, {"CPU": 2.5}])
    with pytest.raises(InputError, match=r"maml: there is room for 3 of 4 workers of 1 CPU each"):
        check_fits(plan, [{"CPU": 2.0}, {"CPU": 1.5}])
    one = planned([], "maml", [*small, "workers.gpus=0.5"], budget=STEPS)
    check_fits(one, [{"CPU": 1.0, "GPU": 1.0}])
    with pytest.raises(InputError, match=r"0 of 1 processes of 1 CPU and 0.5 GPU each"):
        check_fits(one, [{"CPU": 64.0}])


def test_a_plan_comes_back_as_it_was(small: list[str], tmp_path: Path) -> None:
    plan = planned([], "maml,protonet", small, budget=STEPS, reference="maml")
    folder = tmp_path / "out"
    directory = CompareDirectory.create(folder)
    plan.write(directory.plan)
    assert CompareDirectory.open(folder) == directory
    assert Plan.read(directory.plan) == plan
    config = plan.entries[0].config_of(1)
    assert changed_keys(plan.entries[0].config, config) == ["seed"]
    directory.plan.write_text("{}")
    with pytest.raises(InputError, match="is not the plan of a comparison"):
        Plan.read(directory.plan)


def test_folders(small: list[str], tmp_path: Path) -> None:
    plan = planned([], "maml", small, budget=STEPS)
    with pytest.raises(InputError, match="there is no such folder"):
        CompareDirectory.open(tmp_path / "nothing")
    with pytest.raises(InputError, match="it has no compare.json"):
        CompareDirectory.open(tmp_path)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no comparison"):
        CompareDirectory.create(tmp_path)
    plan.write(CompareDirectory.create(tmp_path / "a").plan)
    with pytest.raises(InputError, match="already holds a comparison"):
        CompareDirectory.create(tmp_path / "a")


def test_numbers() -> None:
    assert parse_numbers("--shots", "5, 1,20,5") == [1, 5, 20]
    assert parse_numbers("--shots", None) is None
    for text in ("", "1,x", "0", "-1", "1.5"):
        with pytest.raises(InputError, match="--shots takes whole numbers"):
            parse_numbers("--shots", text)
