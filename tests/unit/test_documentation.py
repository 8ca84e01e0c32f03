"""What README and docs show is what the command line and the library take."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import documented  # type: ignore[import-not-found]
import pytest
import typer

from metaray.platform.cli.main import app

CODE = ("algorithms", "cluster", "platform", "tune_spaces")


def shown_commands() -> list[Any]:
    return [
        pytest.param(words, id=f"{block.page}:{block.line}:{' '.join(words)[:60]}")
        for page in documented.PAGES
        for block in documented.blocks(page)
        for words in documented.commands(block)
    ]


def modules_with_examples() -> list[str]:
    files = [path for folder in CODE for path in (documented.REPOSITORY / folder).rglob("*.py")]
    names = [
        path.relative_to(documented.REPOSITORY).with_suffix("").as_posix().replace("/", ".")
        for path in files
        if ">>> " in path.read_text(encoding="utf-8")
    ]
    return sorted(f"metaray.{name.removesuffix('.__init__')}" for name in names)


def test_every_promise_names_tests_that_exist() -> None:
    page = (documented.REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    tests = (documented.REPOSITORY / "tests").rglob("test_*.py")
    written = {name for path in tests for name in re.findall(r"def (test_\w+)", path.read_text())}
    assert len(named) > 20
    assert named <= written


@pytest.mark.parametrize("words", shown_commands())
def test_a_shown_command_has_options_that_exist(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parsed as the command line does it; files that it reads are there, and empty."""
    monkeypatch.chdir(tmp_path)
    for word in words:
        if word.endswith(".toml"):
            Path(word).parent.mkdir(parents=True, exist_ok=True)
            Path(word).touch()
    parse(typer.main.get_command(app), words)


def parse(command: Any, words: list[str]) -> None:
    """Raise click's UsageError for what the command line would refuse."""
    context = command.context_class(command, info_name="metaray")
    rest = words
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest or [""])
        context = command.context_class(command, info_name=name, parent=context)
    if words[0] == "submit" and "--" in rest:
        parse(typer.main.get_command(app), rest[rest.index("--") + 1 :])
    command.make_context(words[0], list(rest), parent=context.parent)


def test_a_wrong_option_is_seen() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(typer.main.get_command(app), ["train", "--no-such-option"])
    with pytest.raises(Exception, match="No such option"):
        parse(typer.main.get_command(app), ["submit", "--", "train", "--no-such-option"])


def test_commands_are_found() -> None:
    assert len(shown_commands()) > 60


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_in_docstrings_run(name: str) -> None:
    result = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert result.attempted > 0
    assert result.failed == 0


def is_module(name: str) -> bool:
    """Whether a package has a module of this name, which need not be imported yet."""
    return importlib.util.find_spec(name) is not None


@pytest.mark.parametrize("page", documented.PAGES, ids=lambda page: page.name)
def test_python_examples_import_what_is_there(page: Path) -> None:
    for block in documented.blocks(page):
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    known = hasattr(module, alias.name) or is_module(f"{node.module}.{alias.name}")
                    assert known, f"{block.page}:{block.line}: {alias.name}"
