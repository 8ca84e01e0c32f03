"""How a run fits into the Python process that asked for it."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import ipykernel  # noqa: F401  # as another library may do
import IPython
import pytest

from metaray.platform.api.process import console_for, in_notebook


def test_a_program_that_imports_ipykernel_is_no_notebook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not in_notebook()
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    with console_for(progress=True) as console:
        console.print("episode 1")
    assert errors.getvalue() == "episode 1\n"


@pytest.mark.parametrize(
    ("shell", "is_notebook"),
    [
        (SimpleNamespace(kernel=object()), True),
        (SimpleNamespace(), False),  # IPython in a terminal
    ],
)
def test_the_shell_of_a_kernel_is_a_notebook(
    shell: SimpleNamespace, is_notebook: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    assert in_notebook() == is_notebook
