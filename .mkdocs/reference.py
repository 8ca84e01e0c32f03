"""Reference pages in Markdown, from the objects that the command line itself shows."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

import typer

import metaray
from metaray.algorithms.registry import METHODS
from metaray.algorithms.transfer.registry import JOBS
from metaray.platform.cli.listings import setting_rows
from metaray.platform.cli.main import app
from metaray.platform.config.values import set_value

Row = tuple[str, object, str]
_MADE_BY_A_FUNCTION = "metaray.platform.api.methods"


def settings() -> str:
    """All settings of meta-training and of transfer jobs, by section."""
    parts = [
        "## Meta-training\n",
        "Defaults are those of `maml` on `glyphs`. Other methods and data sets have other "
        "published values. The section `method` is on [the page of each method](methods.md).\n",
        *_sections(row for row in setting_rows("maml", "glyphs") if _section(row) != "method"),
        "## Transfer jobs\n",
        "Defaults are those of `finetune` on `glyphs`.\n",
        *_sections(row for row in setting_rows("finetune", "glyphs") if _section(row) != "job"),
    ]
    for name in JOBS.builtin:
        rows = [row for row in setting_rows(name, "glyphs") if _section(row) == "job"]
        parts += [f"### `job` of {name}\n", _settings_table(rows)]
    return "\n".join(parts)


def methods() -> str:
    """A table of the methods with links to their pages."""
    rows = [
        (f"[`{name}`](methods/{name}.md)", METHODS[name].summary, METHODS[name].paper)
        for name in METHODS.builtin
    ]
    return _table(("method", "what it does", "paper"), rows)


def method_pages() -> dict[str, str]:
    """The page of each method by its name: summary, paper, the text of its module, settings."""
    return {name: _method_page(name) for name in METHODS.builtin}


def python_api() -> str:
    """Directives of mkdocstrings for the names that ``import metaray`` gives."""
    parts = []
    for module, names in metaray._NAMES.items():
        if module == _MADE_BY_A_FUNCTION:
            parts += ["## Methods\n", _table(("name", "what it is"), _builders(module, names))]
            parts.append(_documented(f"{module}.Method"))
        elif module == "metaray.platform.api":
            for name in names:
                parts += [f"## `mr.{name}`\n", _parts_table(f"{module}.{name}")]
        else:
            parts += [_documented(f"{module}.{name}") for name in names]
    return "\n".join(parts)


def command_line() -> str:
    """Usage, help and options of each command."""
    return "\n".join(_commands(typer.main.get_command(app), "metaray", None))


def _method_page(name: str) -> str:
    config = METHODS[name]
    rows = [row for row in setting_rows(name, "glyphs") if _section(row) == "method"]
    module = import_module(config.implementation.partition(":")[0])
    return "\n".join(
        [
            f"# {name}\n",
            f"{config.summary[0].upper()}{config.summary[1:]}.\n",
            f"Paper: {config.paper}\n",
            "```sh",
            f"metaray train --set method.name={name}",
            "```\n",
            "## Settings\n",
            "Defaults are those on `glyphs`; [Methods and their defaults](../../methods.md) has "
            "those of other data sets.\n",
            _settings_table(rows),
            "## Implementation\n",
            f"What `{module.__name__}` says: equation, source and deviations.\n",
            f"```text\n{inspect.getdoc(module)}\n```\n",
        ]
    )


def _section(row: Row) -> str:
    return row[0].partition(".")[0] if "." in row[0] else ""


def _sections(rows: Iterable[Row]) -> Iterator[str]:
    by_section: dict[str, list[Row]] = {}
    for row in rows:
        by_section.setdefault(_section(row), []).append(row)
    for section, own in by_section.items():
        yield f"### `{section}`\n" if section else ""
        yield _settings_table(own)


def _settings_table(rows: Iterable[Row]) -> str:
    shown = [(f"`{key}`", f"`{set_value(value)}`", _text(meaning)) for key, value, meaning in rows]
    return _table(("setting", "default", "meaning"), shown)


def _documented(target: str) -> str:
    """A directive of mkdocstrings."""
    heading = f"mr.{target.rpartition('.')[2]}"
    return f"::: {target}\n    options:\n      heading: {heading}\n      toc_label: {heading}\n"


def _builders(module: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        made = getattr(import_module(module), name)
        if not inspect.isclass(made):
            method = made().name
            summary = METHODS[method].summary
            yield f"[`mr.{name}`](methods/{method}.md)", _text(summary)


def _parts_table(module: str) -> str:
    home = import_module(module)
    made = {
        name: value
        for name, value in vars(home).items()
        if inspect.isfunction(value) and value.__name__ == name and name[0].isupper()
    }
    rows = [(f"`{name}`", _text((made[name].__doc__ or "").split("\n")[0])) for name in made]
    return _table(("name", "what it is"), rows)


def _commands(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=name.split()[-1], parent=parent)
    if not command.hidden:
        yield _command(command, name, context)
        own = command.list_commands(context) if hasattr(command, "list_commands") else []
        for word in own:
            yield from _commands(command.get_command(context, word), f"{name} {word}", context)


def _command(command: Any, name: str, context: Any) -> str:
    usage = " ".join(command.collect_usage_pieces(context))
    records = [one.get_help_record(context) for one in command.get_params(context)]
    rows = [(f"`{record[0]}`", _text(record[1])) for record in records if record]
    examples = f"```text\n{inspect.cleandoc(command.epilog)}\n```\n" if command.epilog else ""
    return "\n".join(
        [
            f"## `{name}`\n",
            f"```text\n{name} {usage}\n```\n",
            f"{_text(inspect.cleandoc(command.help or ''), lines=True)}\n",
            _table(("option", "meaning"), rows),
            examples,
        ]
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(one) for one in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _text(text: str, lines: bool = False) -> str:
    """``text`` as Markdown that shows it: no HTML, literals of docstrings as code."""
    shown = text.replace("``", "`").replace("<", "&lt;").replace("[", "\\[")
    return shown if lines else " ".join(shown.split())
