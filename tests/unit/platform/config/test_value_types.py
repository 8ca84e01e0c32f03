"""A number in quotes is text: it is refused with the number to write, wherever it stands."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from metaray.algorithms.configs import Section
from metaray.algorithms.errors import InputError
from metaray.platform.config.loading import read_toml
from metaray.platform.experiment.base import Experiment
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.sweep.plan import check_space, make_plan
from metaray.platform.sweep.space_file import parse_space
from metaray.tune_spaces.space import Choice, Float


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (META, '[train]\nouter_steps = "100"', r"train.outer_steps = .100. is text, not a number: "
         "write 100 without quotes"),
        (META, '[train]\nmeta_lr = "1e-3"', "write 1e-3 without quotes"),
        (META, '[train]\nmeta_lr = "fast"', "train.meta_lr = .fast. is text, .* write a number"),
        (META, '[method]\nname = "protomaml"\ninner_steps = "5"', "inner_steps = .5. is text"),
        (META, "[train]\nouter_steps = true", "outer_steps = true is a truth value, not a number"),
        (META, "seed = false", "seed = false is a truth value"),
        (META, '[workers]\ncuda_graphs = "false"', "not a truth value: write false without quotes"),
        (META, '[data]\naugment = "yes"', "data.augment = .yes. is text, .* write a truth value"),
        (META, "[data]\naugment = 1", "augment = 1 is a number, not a truth value: write true"),
        (META, "[data]\naugment = 0.0", "write false"),
        (META, '[data]\nsplit_ratio = [0.6, "0.2", 0.2]', "split_ratio .* an item .0.2., which is "
         "text, not a number: write 0.2 without quotes"),
        (META, "[train]\nouter_steps = 100.5", "train.outer_steps = 100.5 is not valid"),
        (TRANSFER, '[job]\nname = "simclr"\ntemperature = "0.5"', "temperature = .0.5. is text"),
        (TRANSFER, '[job]\nname = "finetune"\n[data]\nlabels_per_class = "10"', "write 10 without"),
    ],
)  # fmt: skip
def test_what_is_written_otherwise_is_refused(
    kind: Experiment[Any], text: str, sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=sentence):
        kind.resolve(read_toml(file))


def test_the_command_line_has_text_alone() -> None:
    config = META.load(None, ["train.outer_steps=100", "data.augment=true", "seed=7"])
    assert (config.train.outer_steps, config.data.augment, config.seed) == (100, True, 7)
    with pytest.raises(InputError, match="write 100 without quotes"):
        META.load(None, ['train.outer_steps="100"'])


def test_whole_numbers_may_have_an_exponent() -> None:
    """TOML reads 1e5 as a float, and nothing else can be meant."""
    config = META.load(None, ["train.outer_steps=1e3", "train.meta_lr=1", "train.clip_norm=null"])
    assert (config.train.outer_steps, config.train.meta_lr) == (1000, 1.0)
    assert config.train.clip_norm is None


def test_every_number_and_truth_value_of_every_setting() -> None:
    """Also those that are added later, and those of plug-ins, whose sections derive from ours."""
    for kind, section in (
        (kind, name) for kind in (META, TRANSFER) for name in ("train", "workers", "evaluate")
    ):
        fields = type(getattr(kind.resolve({kind.config_class.section: _named(kind)}), section))
        for name, field in fields.model_fields.items():
            if field.annotation in (int, float, bool, int | None, float | None):
                for text in ("1", "true"):
                    settings = {kind.config_class.section: _named(kind), section: {name: text}}
                    with pytest.raises(InputError, match=rf"{section}\.{name} = .* is text"):
                        kind.resolve(settings)


def _named(kind: Experiment[Any]) -> dict[str, str]:
    return {"name": "maml" if kind is META else "finetune"}


def test_sections_of_plug_ins_need_do_nothing() -> None:
    class Own(Section):
        size: int = 3
        scale: float | str = "auto"
        paths: tuple[str, ...] = ()

    assert Own(size=4, scale="1", paths=("1",)).scale == "1"
    with pytest.raises(ValueError, match="is text, not a number"):
        Own.model_validate({"size": "4"})


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"type": "float", "low": "0.1", "high": "0.5"}, "low = .0.1. is text, not a number"),
        ({"type": "float", "low": 0.1, "high": True}, "high = True is not a number"),
        ({"type": "int", "low": 1, "high": "5"}, "high = .5. is text, not a number"),
        ({"type": "int", "low": False, "high": 5}, "low = False is not a number"),
        ({"type": "int", "low": 1.5, "high": 5}, "goes over whole numbers"),
        (
            {"type": "float", "low": 0.1, "high": 0.5, "log": "false"},
            "log = .false. is not",
        ),
        ({"type": "float", "low": 0.1, "high": math.nan}, "not a range"),
        ({"type": "choice", "options": "ab"}, "options = .ab. is no list"),
    ],
)
def test_ranges_of_a_sweep(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_space({"train": {"meta_lr": table}}, "space.toml")


@pytest.mark.parametrize(
    "space",
    [
        {"train.meta_lr": Choice(("0.1", "0.2"))},
        {"train.meta_lr": Float(0.1, 0.2, when={"train.outer_steps": "100"})},
    ],
)
def test_a_sweep_refuses_text_before_its_first_trial(space: Any) -> None:
    """As a condition, text would never be met, and the range never be searched."""
    with pytest.raises(InputError, match="is text, not a number"):
        check_space(space, make_plan({"method": {"name": "maml"}}, study_name="x"))
