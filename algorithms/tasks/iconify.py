"""Sets of icons as npm's ``@iconify-json`` packages hold them, and which icons show one concept.

A package has ``icons.json`` (SVG bodies by name, and other names of them), ``info.json`` (author
and licence), ``package.json`` (version) and, for most sets of emoji, ``chars.json`` (names by the
code points of the emoji, such as ``1f3c3-200d-2640``).

A concept is an emoji: its code points without variation selectors. A set that has no ``chars.json``
is matched by name, or by another name of the same icon, without hyphens: of those that the other
sets give an emoji, each stands for the emoji that most of them mean. A name that no set with code
points has is a separate concept. Emoji with a skin tone are left out.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaray.algorithms.reading import read_object, refusing_damage
from metaray.algorithms.tasks.data_sources import Source

FILES = ("icons.json", "info.json", "package.json", "chars.json")
_REMEDY = "install the package again with npm"
_SKIN = re.compile(r"skin-?tone|tone-?[1-5]$|fitzpatrick")
_SKIN_CODES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
_SELECTORS = {"fe0e", "fe0f"}
SKIN_TONES = "icons with a skin tone"
UNNAMED = "icons that are other forms of a concept in their set"


@dataclass(frozen=True)
class Icon:
    """An icon: the body of an SVG and its box."""

    body: str
    left: float
    top: float
    width: float
    height: float
    turns: int = 0
    """quarter turns, after which it is flipped"""
    flipped: tuple[bool, bool] = (False, False)
    """left to right, top to bottom"""

    def svg(self, size: int) -> str:
        """A document of ``size`` pixels, with the icon in the middle."""
        x, y = self.left + self.width / 2, self.top + self.height / 2
        scale = [-1 if flip else 1 for flip in self.flipped]
        moves = f"translate({x:g} {y:g}) scale({scale[0]} {scale[1]}) rotate({90 * self.turns})"
        box = f"{self.left:g} {self.top:g} {self.width:g} {self.height:g}"
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{size}" height="{size}" viewBox="{box}">'
            f'<g transform="{moves} translate({-x:g} {-y:g})">{self.body}</g></svg>'
        )


@dataclass(frozen=True)
class IconSet:
    """The icons of one package."""

    name: str
    icons: Mapping[str, Icon]
    """by name, other names included"""
    origins: Mapping[str, str]
    """the name under which the icon of each name is kept"""
    codes: Mapping[str, str]
    """names by code points; empty where the package has none"""
    source: Source

    @classmethod
    def read(cls, name: str, folder: Path) -> IconSet:
        """The package ``name`` in ``folder``.

        Raises:
            InputError: a file is missing or damaged.
        """
        problem = f"cannot read the icons in {folder}"
        icons, info, package = (read_object(folder / f, problem, _REMEDY) for f in FILES[:3])
        chars: dict[str, Any] = {}
        if (folder / FILES[3]).is_file():
            chars = read_object(folder / FILES[3], problem, _REMEDY)
        with refusing_damage(problem, _REMEDY):
            found = {n: _icon(icons, icon) for n, icon in icons["icons"].items()}
            origins = {n: n for n in found}
            for alias, content in icons.get("aliases", {}).items():
                _resolve(alias, icons["aliases"], found, origins, content)
            codes = {str(code): str(n) for code, n in chars.items() if n in found}
            source = _source(name, info, package)
        return cls(name, found, origins, codes, source)


def concepts_of(sets: Sequence[IconSet], left_out: Counter[str]) -> dict[str, dict[str, Icon]]:
    """The icon of each concept, by the name of the concept, for each set in their order."""
    meanings = _meanings(sets)
    chosen = [dict(_keys(one, meanings, left_out)) for one in sets]
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for keys in chosen:
        for key, name in keys.items():
            names[key][name] += 1
    titles: dict[str, str] = {}
    for key in sorted(names):
        title = min(names[key], key=lambda name: (-names[key][name], -len(name), name))
        titles[key] = f"{title}-{key}" if title in titles.values() else title
    return {
        one.name: {titles[key]: one.icons[name] for key, name in keys.items()}
        for one, keys in zip(sets, chosen, strict=True)
    }


def _meanings(sets: Sequence[IconSet]) -> dict[str, str]:
    """The code points that most sets with code points mean by each name without hyphens."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for one in sets:
        others = _other_names(one)
        for code, name in one.codes.items():
            if not _SKIN_CODES & set(code.split("-")):
                for other in {_bare(n) for n in (name, *others[one.origins[name]])}:
                    votes[other][_key(code)] += 1
    return {
        name: min(codes, key=lambda code: (-codes[code], code)) for name, codes in votes.items()
    }


def _keys(
    one: IconSet, meanings: Mapping[str, str], left_out: Counter[str]
) -> Iterator[tuple[str, str]]:
    """The concepts of a set, each once, with the name of the icon."""
    if one.codes:
        for code, name in sorted(one.codes.items(), reverse=True):  # the last, simplest code stays
            if _SKIN_CODES & set(code.split("-")):
                left_out[SKIN_TONES] += 1
            else:
                yield _key(code), name
        return
    others, taken = _other_names(one), set()
    own = sorted(set(one.origins.values()))
    for exact in (True, False):  # an icon's first name goes before its other names
        for name in own:
            if _SKIN.search(name):
                left_out[SKIN_TONES] += exact
                continue
            known = [meanings[_bare(n)] for n in (name, *others[name]) if _bare(n) in meanings]
            if exact != (_bare(name) in meanings or not known):
                continue
            key = meanings.get(_bare(name)) or (known[0] if known else _bare(name))
            if key in taken:
                left_out[UNNAMED] += 1
                continue
            taken.add(key)
            yield key, name


def _other_names(one: IconSet) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, origin in sorted(one.origins.items()):
        if name != origin:
            found[origin].append(name)
    return found


def _key(code: str) -> str:
    return "-".join(part for part in code.split("-") if part not in _SELECTORS)


def _bare(name: str) -> str:
    return name.replace("-", "").lower()


def _icon(icons: Mapping[str, Any], content: Mapping[str, Any]) -> Icon:
    values = {"left": 0, "top": 0, "width": 16, "height": 16, **icons, **content}
    left, top, width, height = (float(values[key]) for key in ("left", "top", "width", "height"))
    return Icon(str(content["body"]), left, top, width, height)


def _resolve(
    alias: str,
    aliases: Mapping[str, Any],
    found: dict[str, Icon],
    origins: dict[str, str],
    content: Mapping[str, Any],
) -> None:
    """Add an alias and the icons that it is based on. A changed icon is a separate icon."""
    parent = content["parent"]
    if parent not in found:
        _resolve(parent, aliases, found, origins, aliases[parent])
    icon = found[parent]
    flips = (bool(content.get("hFlip")), bool(content.get("vFlip")))
    turns = int(content.get("rotate", 0))
    flipped = (icon.flipped[0] != flips[0], icon.flipped[1] != flips[1])
    found[alias] = Icon(
        icon.body, icon.left, icon.top, icon.width, icon.height, icon.turns + turns, flipped
    )
    origins[alias] = alias if any(flips) or turns else origins[parent]


def _source(name: str, info: Mapping[str, Any], package: Mapping[str, Any]) -> Source:
    author, license_ = info.get("author", {}), info.get("license", {})
    return Source(
        name=str(info.get("name", name)),
        version=str(info.get("version", "")),
        author=str(author.get("name", "")),
        license=str(license_.get("spdx") or license_.get("title") or package.get("license", "")),
        license_url=str(license_.get("url", "")),
        url=str(author.get("url", "")),
        package=f"{package.get('name', name)} {package.get('version', '')}".strip(),
        files=("icons.json",),
    )
