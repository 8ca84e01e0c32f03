"""What the site generates from the code: settings, methods, the Python API, the command line."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import reference
import torch
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import metaray

_PAGES = {
    "reference/settings.md": reference.settings,
    "reference/methods.md": reference.methods,
    "reference/python.md": reference.python_api,
    "reference/cli.md": reference.command_line,
}

_HERE = str(Path(__file__).parent)
_SOURCES = tempfile.TemporaryDirectory(prefix="metaray-docs-")


@event_priority(100)  # before mkdocstrings reads its settings
def on_config(config: MkDocsConfig, **_: Any) -> MkDocsConfig:
    """Let mkdocstrings read a copy of the package in which all folders have an ``__init__.py``.

    It passes over the four folders of metaray, which have none (docs/architecture.md says why).
    """
    package = Path(_SOURCES.name) / "metaray"
    if not package.exists():
        shutil.copytree(Path(metaray.__file__).parent, package)
        for folder in filter(Path.is_dir, package.rglob("*")):
            (folder / "__init__.py").touch()
    config.plugins["mkdocstrings"].config["handlers"]["python"]["paths"] = [_SOURCES.name]
    return config


def on_startup(**_: Any) -> None:
    """Examples draw without a screen, compute on one core, and find ``page_output``."""
    os.environ["MPLBACKEND"] = "agg"
    torch.set_num_threads(1)
    if _HERE not in sys.path:
        sys.path.insert(0, _HERE)


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add a page for each method."""
    for name, text in reference.method_pages().items():
        files.append(File.generated(config, f"reference/methods/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Append what is generated to the introduction of a reference page."""
    generate = _PAGES.get(page.file.src_uri)
    return markdown if generate is None else f"{markdown}\n{generate()}"
