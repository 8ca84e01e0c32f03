"""The pages of the site: all are in its navigation, and their links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documented  # type: ignore[import-not-found]
import pytest
import yaml

REPOSITORY: Path = documented.REPOSITORY
DOCS = REPOSITORY / "docs"
SETTINGS = REPOSITORY / ".mkdocs" / "mkdocs.yml"
PAGES = sorted(DOCS.rglob("*.md"))
LINKED = [*PAGES, REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def in_navigation(entry: Any) -> Iterator[str]:
    """The pages of a part of ``nav``."""
    if isinstance(entry, str):
        yield entry
        return
    for part in entry.values() if isinstance(entry, dict) else entry:
        yield from in_navigation(part)


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """As code hosts and mkdocs make them of headings without special characters."""
    words = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[\s]+", "-", heading.strip()) for heading in words}


def test_the_navigation_has_each_page_once() -> None:
    nav = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))["nav"]
    found = sorted(in_navigation(nav))
    assert found == [page.relative_to(DOCS).as_posix() for page in PAGES]


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_to_pages_and_headings(page: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_pages_of_the_site_link_to_nothing_outside_it(page: Path) -> None:
    """Such a link would work on a code host, and be broken on the site."""
    local = [link for link in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]
    outside = [one for one in local if DOCS not in (page.parent / one).resolve().parents]
    assert outside == []


def test_lines_that_pages_hide_are_whole_statements() -> None:
    """A formatter may wrap a long one, and then the page would show half of it."""
    shown = [
        f"{block.page}: {line}"
        for page in documented.PAGES
        for block in documented.blocks(page)
        for line in block.text.splitlines()
        if ("page_output" in line or "svg(" in line) and not line.endswith("# markdown-exec: hide")
    ]
    assert shown == []


def test_the_site_loads_nothing_from_elsewhere() -> None:
    assert yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))["theme"]["font"] is False


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_site_is_built_and_its_examples_run(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", SETTINGS, "-d", tmp_path],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        | {"PYTHONPATH": str(REPOSITORY / ".src"), "NO_MKDOCS_2_WARNING": "1"}
        | {"METARAY_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    settings = (tmp_path / "reference" / "settings.html").read_text(encoding="utf-8")
    assert "train.outer_steps" in settings
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text()
        )
        assert loaded == [], page
