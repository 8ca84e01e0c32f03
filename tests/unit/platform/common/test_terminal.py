"""Text goes to the console as it is."""

from __future__ import annotations

import io

import pytest

from metaray.platform.cli import data
from metaray.platform.common.terminal import bold, new_console


@pytest.mark.parametrize(
    "text", ["uint8 [n, H, W] or [n, H, W, 3]", "[red]class[/]", "[/]", "[link"]
)
def test_brackets_are_no_markup(text: str) -> None:
    out = io.StringIO()
    new_console(file=out).print(text)
    new_console(file=out).print(bold(text))
    assert out.getvalue() == f"{text}\n{text}\n"


def test_the_list_of_data_sets_says_which_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    data.list_datasets()
    told = " ".join(capsys.readouterr().out.split())
    assert "uint8 [n, H, W] or [n, H, W, 3]" in told
