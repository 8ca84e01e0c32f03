"""Code from outside, by name: ``my_method:MyMethod``, or an entry point of an installed package.

``module:Name`` is a module that can be imported, or a Python file: beside the file of settings, in
a folder of $METARAY_PLUGINS, or in the working directory; ``path/to/my_method.py:MyMethod`` names
the file itself. A file is imported under its own name, and its folder is added to the end of
``sys.path``, so that it may import what lies beside it, and other processes import it too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path

PLUGIN_PATH = "METARAY_PLUGINS"
"""the environment variable with further folders of plug-in files"""

_loaded: dict[Path, ModuleType] = {}


def is_outside(name: str) -> bool:
    """Whether ``name`` is a ``module:Name``, and no name of a table.

    >>> is_outside("my_method:MyMethod"), is_outside("maml")
    (True, False)
    """
    return ":" in name


def label_of(name: str) -> str:
    """A short name for people and for folders.

    >>> label_of("methods/my_method.py:MyMethod"), label_of("maml")
    ('MyMethod', 'maml')
    """
    return name.rpartition(":")[2]


def located(name: str, folder: Path | None = None) -> str:
    """``name`` with the absolute path of the file that it means; as it is where it means none.

    Args:
        name: any name of a method, data set, model and so on.
        folder: where to look first: that of the file of settings in which the name stands.
    """
    module, colon, attribute = name.rpartition(":")
    if not colon or (Path(module).is_absolute() and Path(module).is_file()):
        return name
    if not module.endswith(".py") and not module.isidentifier():
        return name  # a module of a package, which is imported as such
    relative = user_path(module if module.endswith(".py") else f"{module}.py")
    # a file that has moved, as with the folder of a job, may lie in one of the folders now
    candidates = dict.fromkeys([relative, Path(relative.name)])
    for place in _folders(folder):
        for candidate in candidates:
            if (place / candidate).is_file():
                return f"{(place / candidate).absolute()}:{attribute}"
    return name


def load(name: str) -> Any:
    """The object ``module:Name``.

    Raises:
        InputError: there is no such module or file, it cannot be imported, or has no such name.
    """
    module_name, _, attribute = located(name).rpartition(":")
    module = _module(module_name, name)
    if not hasattr(module, attribute):
        own = [key for key in vars(module) if not key.startswith("_")]
        raise InputError(f"{module_name} has no {attribute}{did_you_mean(attribute, own)}")
    return getattr(module, attribute)


def files() -> list[Path]:
    """The plug-in files that this process has imported, and what they import from beside them."""
    folders = {file.parent for file in _loaded}
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    beside = {Path(file) for file in modules if file and Path(file).parent in folders}
    return sorted(beside | set(_loaded))


def offered(group: str) -> Mapping[str, EntryPoint]:
    """What installed packages offer in an entry-point group, by name; nothing is imported."""
    places = [path or "." for path in sys.path if os.path.exists(path or ".")]
    return _offered(group, tuple((path, os.stat(path).st_mtime_ns) for path in places))


@lru_cache(maxsize=32)
def _offered(group: str, _: tuple[tuple[str, int], ...]) -> Mapping[str, EntryPoint]:
    """Cached: reading takes 20 ms, and one error message about a name can need several groups.

    An installation changes a folder of ``sys.path``, and then they are read again.
    """
    return {entry.name: entry for entry in entry_points(group=group)}


def load_entry_point(entry: EntryPoint) -> Any:
    """What an entry point stands for.

    Raises:
        InputError: it cannot be imported.
    """
    try:
        return entry.load()
    except Exception as error:
        package = entry.dist.name if entry.dist else "an installed package"
        raise InputError(
            f"{entry.name} of {package} cannot be loaded ({_reason(error)}): repair or remove the "
            "package"
        ) from error


def did_you_mean(given: str, known: list[str]) -> str:
    """The end of a sentence about an unknown name."""
    near = get_close_matches(given, known, n=1)
    return f", did you mean {near[0]}?" if near else f": known are {', '.join(known)}"


def _folders(first: Path | None) -> Iterator[Path]:
    if first is not None:
        yield first
    yield from (Path(part) for part in os.environ.get(PLUGIN_PATH, "").split(os.pathsep) if part)
    yield Path.cwd()


def _module(module_name: str, name: str) -> ModuleType:
    file = Path(module_name)
    if module_name.endswith(".py"):
        if file.is_file():
            return _of_file(file)
        module_name = file.stem  # another machine, to which the file came with the job
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise InputError(
                f"{name}: there is no module {module_name}, and no file {file.stem}.py beside the "
                "settings or in the working directory: give the path of the file, or install the "
                "package"
            ) from None
        raise InputError(f"{module_name} cannot be imported ({_reason(error)})") from error
    except Exception as error:
        raise InputError(f"{module_name} cannot be imported ({_reason(error)})") from error


def _of_file(file: Path) -> ModuleType:
    """The module of a file. Loaded once, and again where another file took its name since."""
    present = sys.modules.get(file.stem)
    if present is not None and _same(present, file):
        _loaded.setdefault(file, present)
        return present
    if file.stem not in {known.stem for known in _loaded}:
        _check_free(file)
    spec = spec_from_file_location(file.stem, file)
    assert spec is not None  # the name ends with .py
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[file.stem] = module
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[file.stem]
        raise InputError(f"{file} cannot be imported ({_reason(error)})") from error
    _loaded[file] = module
    return module


def _same(module: ModuleType, file: Path) -> bool:
    """Whether ``module`` is ``file``, or a copy of it that came with a job."""
    there = getattr(module, "__file__", None)
    if there is None or not Path(there).is_file():
        return False
    return Path(there).samefile(file) or Path(there).read_bytes() == file.read_bytes()


def _check_free(file: Path) -> None:
    """Other processes import the file by its name, which must mean nothing else."""
    spec = find_spec(file.stem) if file.stem.isidentifier() else None
    taken = spec is not None and spec.origin is not None and Path(spec.origin) != file
    if taken or not file.stem.isidentifier():
        why = "is the name of another module" if taken else "is no name of a module"
        raise InputError(f"{file}: {file.stem} {why}: rename the file")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
