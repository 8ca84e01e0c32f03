"""Keeps torch.compile, which is not used here, out of processes that compute.

``torch.func.grad`` switches torch's compiler off around each gradient, and imports all of it to do
so: 900 modules, 1.6 to 3 seconds and 100 MB in every process of a run. Where the compiler was not
imported there is nothing to switch off.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from typing_extensions import override

_COMPILER = "torch._dynamo"
_AUTOGRAD = f"{_COMPILER}.compiled_autograd"


class _Later(ModuleType):
    """Stands for a module that is not imported yet, and imports it when more of it is needed."""

    @override
    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def leave_compiler_out() -> None:
    """Until something else imports it, which then finds it as it is."""
    if _COMPILER in sys.modules or "_dynamo" in vars(torch):
        return
    compiler, autograd = _Later(_COMPILER), _Later(_AUTOGRAD)
    autograd._disable = nullcontext  # type: ignore[attr-defined]
    compiler.compiled_autograd = autograd  # type: ignore[attr-defined]
    torch._dynamo = compiler
