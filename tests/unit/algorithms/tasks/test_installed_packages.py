"""Which package a file came with."""

from __future__ import annotations

from pathlib import Path

from metaray.algorithms.tasks.installed_packages import PackageIndex


def test_debians_list_of_files(tmp_path: Path) -> None:
    font = tmp_path / "share" / "fonts" / "a.ttf"
    font.parent.mkdir(parents=True)
    font.touch()
    dpkg, doc = tmp_path / "dpkg", tmp_path / "doc"
    (dpkg / "info").mkdir(parents=True)
    (dpkg / "status").write_text("Package: fonts-a\nVersion: 1.2-3\n\nPackage: b\nVersion: 1\n")
    (dpkg / "info" / "fonts-a.list").write_text(f"/.\n{font}\n")
    (doc / "fonts-a").mkdir(parents=True)
    (doc / "fonts-a" / "copyright").write_text("Files: *\nLicense: OFL-1.1\n\nLicense: GPL-3\n")
    package = PackageIndex(dpkg, doc).package_of(font)
    assert package is not None
    assert package == ("fonts-a", "1.2-3", "OFL-1.1 or GPL-3")


def test_the_description_of_npm(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "package.json").write_text('{"name": "@fontsource/abel", "license": "OFL-1.1"}')
    package = PackageIndex(tmp_path, tmp_path).package_of(tmp_path / "files" / "a.woff")
    assert package is not None
    assert package.title == "@fontsource/abel"
    assert package.license == "OFL-1.1"


def test_a_file_of_no_package(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("[]")
    assert PackageIndex(tmp_path, tmp_path).package_of(tmp_path / "a.ttf") is None
