"""The commands, settings files and Python examples that README and docs show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = (REPOSITORY / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("learn/*.md")))
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_ENDS = ("|", "&", "&&", ">")
_HEREDOC = re.compile(r"^cat > (\S+) <<'END'\n(.*?)^END$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of ``page``, in order."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        yield Block(page.name, line, match[1], match[2])


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each ``metaray`` command in ``block``, without comments."""
    if block.language not in ("", "sh"):
        return
    text = _HEREDOC.sub("", block.text).replace("\\\n", " ")
    for line in text.splitlines():
        words = shlex.split(line.strip(), comments=True) if "metaray " in line else []
        if "metaray" in words[:3]:  # NAME=value may stand before it
            own = words[words.index("metaray") + 1 :]
            yield own[: next((i for i, word in enumerate(own) if word in _ENDS), len(own))]


def files_in(block: Block) -> dict[str, str]:
    """Files that a block writes, by name: ``# name.toml`` in its first line, or ``cat >``."""
    if block.language == "toml" and (named := re.match(r"# (\S+\.toml)\n", block.text)):
        return {named[1]: block.text}
    return {match[1]: match[2] for match in _HEREDOC.finditer(block.text)}
