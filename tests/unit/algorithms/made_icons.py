"""Packages of icons that tests write, in the form of npm's ``@iconify-json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

RED = "#ff0000"


def body(x: int, colour: str = RED) -> str:
    """A bar of 6 x 20 units from ``x`` on."""
    return f'<path fill="{colour}" d="M{x} 6h6v20h-6z"/>'


def write_icons(
    root: Path,
    name: str,
    icons: Mapping[str, str],
    *,
    aliases: Mapping[str, Mapping[str, object]] | None = None,
    chars: Mapping[str, str] | None = None,
) -> Path:
    """The package ``name`` with these bodies of SVG; ``chars`` are names by code points."""
    folder = root / "@iconify-json" / name
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "prefix": name,
        "icons": {icon: {"body": text} for icon, text in icons.items()},
        "aliases": aliases or {},
        "width": 32,
        "height": 32,
    }
    info = {
        "name": f"Set {name}",
        "author": {"name": "An author", "url": "https://example.org"},
        "license": {"spdx": "CC-BY-4.0", "url": "https://example.org/by"},
    }
    files = {"icons": content, "info": info, "package": {"name": name, "version": "1.2.3"}}
    for file, value in (files | ({"chars": chars} if chars else {})).items():
        (folder / f"{file}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder
