"""The versions that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import metaray


def versions() -> dict[str, str]:
    """Of Python, metaray and the libraries that compute or distribute."""
    found = {"python": platform.python_version(), "metaray": metaray.__version__}
    for package in ("torch", "torchvision", "ray", "numpy", "pyarrow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
