"""Tables of methods and settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel
from rich.table import Table

from metaray.algorithms.errors import InputError
from metaray.algorithms.plugins import is_outside, load, located
from metaray.algorithms.registry import METHODS
from metaray.algorithms.transfer.job_section import JobSection
from metaray.algorithms.transfer.registry import JOBS
from metaray.platform.cli.output import console
from metaray.platform.common.terminal import bold
from metaray.platform.config.values import set_value
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.transfer import TRANSFER


def print_methods() -> None:
    """Name, one line, paper."""
    table = Table("method", "what it does", "paper", box=None, pad_edge=False)
    for name in METHODS:
        try:
            method = METHODS[name]
        except InputError as error:  # of an installed package, which others should not suffer from
            table.add_row(bold(name), str(error), "")
        else:
            table.add_row(bold(name), method.summary, method.paper)
    console.print(table)


def print_settings(method: str, data: str) -> None:
    """Key, default and meaning of every setting of a method or transfer job on ``data``."""
    table = Table("key", "default", "meaning", box=None, pad_edge=False)
    for key, value, meaning in setting_rows(method, data):
        table.add_row(bold(key), set_value(value), meaning)
    console.print(table)


def setting_rows(method: str, data: str) -> list[tuple[str, object, str]]:
    """Key, default and meaning of every setting of a method or transfer job on ``data``."""
    return list(_rows(_resolved(method, data)))


def _resolved(name: str, data: str) -> BaseModel:
    """The defaults of a method or of a transfer job, which may need a second domain."""
    name = located(name)
    if not _is_job(name):
        return META.resolve({"method": {"name": name}, "data": {"name": data}})
    target = {"target": {"name": data}} if JOBS[name].needs_target else {}
    return TRANSFER.resolve({"job": {"name": name}, "data": {"name": data}, **target})


def _is_job(name: str) -> bool:
    if not is_outside(name):
        return name in JOBS
    target = load(name)
    section = getattr(target, "config_class", target)
    return isinstance(section, type) and issubclass(section, JobSection)


def _rows(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object, str]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _rows(value, f"{prefix}{name}.")
        else:
            # a method's name has the meaning of its settings as a whole
            meaning = field.description or type(model).__doc__ or ""
            yield f"{prefix}{name}", value, " ".join(meaning.split())
