"""Any text in ``--set`` is taken, or refused in one sentence."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.config.complaints import known_keys
from metaray.platform.config.loading import read_toml
from metaray.platform.config.tree import flat
from metaray.platform.config.values import MAX_DEPTH, parse_toml, parse_value, toml_tables
from metaray.platform.experiment.base import Experiment
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.transfer import TRANSFER

KINDS: list[Experiment[Any]] = [META, TRANSFER]
VALUES = [
    "", "[1]", "[]", "{}", "{a=1}", "{name=[1]}", "[[1], {a = 2}]", "null", "true", "0", "-1", "1",
    "1e999", "nan", "-inf", "9" * 30, "9" * 5000, "0x" + "f" * 5000, "100000000", "[" * 3000,
    "[" * 3000 + "]" * 3000, "{a=" * 900 + "1" + "}" * 900, '"a\\u0000b"', "~nouser/x", '"~"',
    "/", "..", ":", "a:", ":b", "os:path", "..:c", "~nouser/x.py:C", '"a\\u0000.py:C"', "\ud800",
    "2000-01-01", "07:32:00", "[nan, nan, nan]", "maml", "simclr", "omniglot", "torchvision",
    "1\nname = 2", "a" * 5000, "\u2028", "{name='mann', read_heads=1e5}", "s3://u:p@b/x",
]  # fmt: skip
KEYS = ["", ".", "a.b", "x" * 500, ".".join("a" * 3000), "method", "train", "data", "seed.x"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_value_gives_a_traceback(kind: Experiment[Any]) -> None:
    """Every odd value of every setting that names code or files, then pairs drawn at random."""
    keys = [*KEYS, *known_keys(kind.config_class)]
    names = [key for key in keys if key.endswith((".name", ".root", "method", "schedule"))]
    draw = random.Random(0)
    cases = [[f"{key}={value}"] for key in names for value in VALUES]
    cases += [
        [f"{draw.choice(keys)}={draw.choice(VALUES)}" for _ in range(draw.choice([1, 1, 2]))]
        for _ in range(400)
    ]
    for case in cases:
        try:
            kind.load(None, case)
        except InputError as error:
            assert "\n" not in str(error), case  # noqa: PT017 (most are taken or refused, both are right)
        except BaseException as error:
            pytest.fail(f"{[part[:60] for part in case]}: {type(error).__name__}: {error}")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("method.name=[1]", r"method.name = \[1\] is not one of"),
        ("data.name=[1]", r"data.name = \[1\] is not one of"),
        ("seed=" + "9" * 5000, "cannot be read"),
        ("seed=0x" + "f" * 5000, "a whole number has over 64 bits"),
        ("seed=" + "[" * 3000 + "]" * 3000, f"nested more than {MAX_DEPTH} deep"),
        ('data.root="a\\u0000b"', "remove the zero byte"),
        ("data.root=~nouser/x", "there is no user nouser"),
        ("train.meta_lr=1e999", "finite number"),
        ("train.meta_batch_size=100000000", "less than or equal to 100000"),
        ("task.shots=100000000", "less than or equal to 10000"),
        ("workers.count=100000000", "less than or equal to 10000"),
    ],
)
def test_what_is_wrong_is_said(setting: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        META.load(None, [setting])


def test_a_file_is_read_with_the_same_care(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    for text in ("seed = " + "9" * 5000, "seed = " + "[" * 3000 + "]" * 3000):
        file.write_text(text)
        with pytest.raises(InputError, match="is not valid TOML"):
            read_toml(file)


def test_large_values_that_are_of_use_are_taken() -> None:
    assert parse_value("9223372036854775807") == 2**63 - 1
    assert parse_value("[[[1]]]") == [[[1]]]


def test_every_character_of_a_path_comes_back(tmp_path: Path) -> None:
    """``best.toml`` of a sweep holds paths: a finished sweep must not fail over an emoji."""
    codes = [*range(1, 0x300), 0x2028, 0xFFFE, *range(0x1F600, 0x1F610), 0x10FFFF]
    for code in codes:
        values = {"data.root": f"/a{chr(code)}b", "data.name": "folder"}
        assert dict(flat(parse_toml(toml_tables(values)))) == values, hex(code)
    file = tmp_path / "best.toml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):  # Windows' editors put a mark in front
        file.write_text(toml_tables({"data.root": "/a/\U0001f600"}), encoding=encoding)
        assert read_toml(file) == {"data": {"root": "/a/\U0001f600"}}
