"""Python imports this first in processes whose PYTHONPATH has this folder: their plots are blank.

As ``blank_plots``, for processes that tests start, and for those of Ray. They look for cycles of
garbage seldom, and not when they end: else that is a quarter of importing torch. Workers of Ray are
forks of a process that has imported torch: see ``fork_server``.
"""

from __future__ import annotations

import atexit
import gc
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from blank_figure import BLANK
from fork_client import hand_over


class _BlankFigures(MetaPathFinder):
    """Makes matplotlib's figures blank when a program imports them."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != "matplotlib.figure":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def then_blank(module: ModuleType) -> None:
                execute(module)
                for name, method in BLANK.items():
                    setattr(module.Figure, name, method)

            spec.loader.exec_module = then_blank  # type: ignore[method-assign]
        return spec


hand_over()
sys.meta_path.insert(0, _BlankFigures())
gc.set_threshold(50_000, 20, 20)
atexit.register(lambda: None if "triton" in sys.modules else gc.freeze())
