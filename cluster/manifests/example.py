"""The description of a cluster itself, as a file to begin with."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import BaseModel

from metaray.cluster.manifests.config import ClusterConfig


def example(config: ClusterConfig) -> str:
    """``config`` as TOML, with the meaning of every setting."""
    return "\n".join(_table(config, "")) + "\n"


def _table(section: BaseModel, path: str) -> Iterator[str]:
    """Plain values first: in TOML, what follows the head of a table belongs to that table."""
    inner = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        below = f"{path}.{name}" if path else name
        if isinstance(value, BaseModel):
            inner += ["", *_comment(value), f"[{below}]", *_table(value, below)]
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for one in value:
                inner += ["", *_comment(one), f"[[{below}]]", *_table(one, below)]
        else:
            yield f"# {' '.join((field.description or '').split())}"
            written = json.dumps(value, ensure_ascii=False)
            yield f'# {name} = ""' if value is None else f"{name} = {written}"
    yield from inner


def _comment(section: BaseModel) -> Iterator[str]:
    yield f"# {' '.join((type(section).__doc__ or '').split())}"
