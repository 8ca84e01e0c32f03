"""What a set that is made of installed packages was made of, and what was left out.

The record lies in the header of the prepared file, so that attribution travels with the images. It
is no part of the content hash.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict

from pydantic import BaseModel, ConfigDict

_MOST_LISTED = 20
_LICENSES = (
    (r"open font licen|\bOFL\b", "SIL Open Font License"),
    (r"apache", "Apache License"),
    (r"\bLGPL|lesser general public", "GNU LGPL"),
    (r"\bGPL|general public licen|\bGNU\b", "GNU GPL"),
    (r"\bCC0|public domain", "public domain"),
    (r"creative commons|\bCC[ -]BY", "Creative Commons"),
    (r"\bMIT\b|expat", "MIT License"),
    (r"bitstream|vera", "Bitstream Vera License"),
)


class Source(BaseModel):
    """One work that images were made of: a font family, a set of icons, a package."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str = ""
    author: str = ""
    license: str = ""
    """its name, or its text where the work has no name for it"""
    license_url: str = ""
    copyright: str = ""
    url: str = ""
    package: str = ""
    """name and version of the package that brought it"""
    files: tuple[str, ...] = ()
    """names of the files that were read, without folders"""
    images: int = 0

    @property
    def sentence(self) -> str:
        """Name, version, author, licence and addresses in a line."""
        parts = [f"{self.name} {self.version}".strip()]
        parts += [f"by {self.author}"] if self.author else []
        parts += [self.license or "no licence stated", self.license_url]
        parts += [] if self.license else [self.copyright]
        parts += [self.url]
        parts += [f"package {self.package}"] if self.package else []
        return ", ".join(part for part in parts if part)


class SourcesRecord(BaseModel):
    """The sources of a prepared set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[Source, ...]
    left_out: dict[str, int]
    """how many of what were left out, by the reason"""
    drawn_with: dict[str, str] = {}
    """versions of the libraries that drew"""

    def attribution(self) -> list[str]:
        """A line for each source, or for each licence where there are many sources."""
        if len(self.sources) <= _MOST_LISTED:
            return [source.sentence for source in self.sources]
        packages: dict[str, set[str]] = defaultdict(set)
        counts: Counter[str] = Counter()
        for source in self.sources:
            name = _license_name(source.license)
            counts[name] += 1
            packages[name] |= {source.package} - {""}
        return [
            f"{name}: {counts[name]:,} of {len(self.sources):,}"
            + (f", in {len(packages[name])} packages" if packages[name] else "")
            for name in sorted(counts, key=lambda name: (-counts[name], name))
        ]

    def left_out_sentences(self) -> list[str]:
        """A sentence for each reason."""
        return [f"left out: {count:,} {reason}" for reason, count in self.left_out.items() if count]


def _license_name(text: str) -> str:
    """The usual name of a licence that ``text`` states in its own words.

    >>> _license_name("This Font is licensed under the SIL Open Font License, Version 1.1.")
    'SIL Open Font License'
    """
    for pattern, name in _LICENSES:
        if re.search(pattern, text, re.IGNORECASE):
            return name
    return "another licence" if text else "no licence stated"
