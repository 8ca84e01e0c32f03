"""Which package brought a file: Debian's own list of files, or a ``package.json`` beside it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from metaray.algorithms.errors import InputError

DPKG = Path("/var/lib/dpkg")
DOC = Path("/usr/share/doc")


class Package(NamedTuple):
    """An installed package."""

    name: str
    version: str
    license: str = ""

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}".strip()


class PackageIndex:
    """Looks packages up by file. What cannot be found out is None, never an error."""

    def __init__(self, dpkg: Path = DPKG, doc: Path = DOC) -> None:
        self._owners = _owners(dpkg, doc)
        self._of_folder: dict[Path, Package | None] = {}

    def package_of(self, path: Path) -> Package | None:
        """The package of the file at ``path``."""
        owner = self._owners.get(str(path.absolute())) or self._owners.get(str(path.resolve()))
        return owner or self._of_json(path.absolute().parent)

    def _of_json(self, folder: Path) -> Package | None:
        if folder not in self._of_folder:
            found = _described(folder / "package.json")
            if found is None and folder.parent != folder:
                found = self._of_json(folder.parent)
            self._of_folder[folder] = found
        return self._of_folder[folder]


def _described(file: Path) -> Package | None:
    with suppress(OSError, ValueError):
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("name"), str):
            values = (content.get("version"), content.get("license"))
            version, license_ = (value if isinstance(value, str) else "" for value in values)
            return Package(content["name"], version, license_)
    return None


def _owners(dpkg: Path, doc: Path) -> dict[str, Package]:
    """Packages by the files below a folder ``fonts`` that Debian's database lists."""
    owners: dict[str, Package] = {}
    with suppress(OSError, UnicodeError):
        versions = _versions((dpkg / "status").read_text(encoding="utf-8"))
        for listing in sorted((dpkg / "info").glob("*.list")):
            text = listing.read_text(encoding="utf-8", errors="replace")
            if "/fonts/" in text:
                name = listing.stem.partition(":")[0]
                package = Package(name, versions.get(name, ""), _license_of(name, doc))
                owners |= {line: package for line in text.splitlines() if "/fonts/" in line}
    return owners


def _license_of(name: str, doc: Path) -> str:
    """The licences that a package's file of copyrights names, where it has the usual form."""
    with suppress(OSError, UnicodeError):
        lines = (doc / name / "copyright").read_text(encoding="utf-8").splitlines()
        named = (line.removeprefix("License:").strip() for line in lines if line[:8] == "License:")
        found = " or ".join(dict.fromkeys(license_ for license_ in named if license_))
        return found or f"as in {doc / name / 'copyright'}"
    return ""


def _versions(status: str) -> dict[str, str]:
    found = {}
    for paragraph in status.split("\n\n"):
        lines = (line.partition(": ") for line in paragraph.splitlines())
        fields = {key: value for key, colon, value in lines if colon}
        if "Package" in fields:
            found[fields["Package"]] = fields.get("Version", "")
    return found


def need_extra(library: str, extra: str, purpose: str) -> InputError:
    """The error where a library of an extra is not installed."""
    return InputError(
        f"{purpose} needs the package {library}, which is not installed: "
        f"pip install 'metaray[{extra}]'"
    )
