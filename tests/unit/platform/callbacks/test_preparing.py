"""Progress of a preparation where there is no terminal."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from metaray.platform.callbacks.preparing import prepared_on, preparing


@pytest.mark.parametrize("at_once", [1, 3, 7, 40])
def test_a_line_per_tenth_however_many_are_done_at_once(
    at_once: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with preparing("birds") as show:
        for done in (*range(at_once, 100, at_once), 100):
            show(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == min(10, -(-100 // at_once))
    assert lines[-1] == "preparing birds: 100 of 100 classes"


def test_nothing_is_said_of_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    with preparing("birds"):
        pass
    assert capsys.readouterr().err == ""


def test_a_program_decides_where_it_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = StringIO()
    with prepared_on(Console(file=shown)), preparing("birds") as show:
        show(10, 10)
    assert shown.getvalue() == "preparing birds: 10 of 10 classes\n"
    assert capsys.readouterr().err == ""
