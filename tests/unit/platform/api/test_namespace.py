"""``import metaray``: every name, and nothing loaded before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import metaray as mr

HEAVY = ("torch", "ray", "pydantic", "numpy", "pandas", "matplotlib")


def _loaded_by(code: str) -> set[str]:
    code = f"import sys\n{code}\nprint([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ast.literal_eval(done.stdout))


def test_the_import_loads_nothing() -> None:
    assert _loaded_by("import metaray; dir(metaray)") == set()


def test_settings_need_neither_torch_nor_ray() -> None:
    loaded = _loaded_by(
        "import metaray as mr; mr.Trainer(mr.MAML(mr.models.Conv4()), mr.datasets.Glyphs()).config"
    )
    assert loaded.isdisjoint({"torch", "ray", "pandas"})


@pytest.mark.parametrize("name", dir(mr))
def test_every_name_is_there(name: str) -> None:
    assert getattr(mr, name) is not None


def test_type_checkers_see_the_names_that_there_are() -> None:
    assert mr.__file__ is not None
    tree = ast.parse(Path(mr.__file__).read_text())
    (block,) = (n for n in tree.body if isinstance(n, ast.If))
    declared = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == mr._HOMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        mr.Nothing  # type: ignore[attr-defined]  # noqa: B018
