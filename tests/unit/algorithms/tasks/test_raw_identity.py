"""Raw data is identified by its content, and hashed again only where a file has changed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks import raw_identity
from metaray.algorithms.tasks.catalog import open_store, prepare
from metaray.algorithms.tasks.npz import Arrays
from metaray.algorithms.tasks.raw_identity import content_identity
from metaray.algorithms.tasks.store import ImageStore


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once, so that tests need not wait for it."""
    monkeypatch.setattr(raw_identity, "_SETTLED_NS", -(10**18))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were hashed."""
    found: list[Path] = []
    original = raw_identity._file_sha256

    def spy(path: Path) -> str:
        found.append(path)
        return original(path)

    monkeypatch.setattr(raw_identity, "_file_sha256", spy)
    return found


def arrays(root: Path, value: int) -> DataConfig:
    """A set of nine classes whose file has the same name and size for every ``value``."""
    root.mkdir(exist_ok=True)
    images = np.full((36, 8, 8), value, np.uint8) + np.arange(36, dtype=np.uint8)[:, None, None]
    np.savez(root / "set.npz", images=images, labels=np.repeat(np.arange(9), 4))
    return DataConfig(name="arrays", root=str(root), cache=str(root.parent / "cache"), image_size=8)


@pytest.mark.usefixtures("settled")
def test_two_sets_of_one_name_and_shape_are_two_sets(tmp_path: Path) -> None:
    first, second = arrays(tmp_path / "p", 10), arrays(tmp_path / "q", 60)
    sizes = {(tmp_path / folder / "set.npz").stat().st_size for folder in "pq"}
    assert len(sizes) == 1
    stores = [open_store(Arrays(), data) for data in (first, second, first)]
    assert [int(store.images(0).min()) for store in stores] == [10, 60, 10]


@pytest.mark.usefixtures("settled")
def test_a_changed_file_is_another_set_and_a_moved_one_is_not(tmp_path: Path) -> None:
    data = arrays(tmp_path / "p", 10)
    path = prepare(data)
    os.rename(tmp_path / "p", tmp_path / "moved")
    moved = DataConfig(**(data.model_dump() | {"root": str(tmp_path / "moved")}))
    assert prepare(moved) == path
    changed = arrays(tmp_path / "moved", 90)
    assert prepare(changed) != path
    assert int(open_store(Arrays(), changed).images(0).min()) == 90


@pytest.mark.usefixtures("settled")
def test_files_are_hashed_once(tmp_path: Path, hashed: list[Path]) -> None:
    files = {name: tmp_path / name for name in ("a", "b")}
    for name, path in files.items():
        path.write_text(name)
    first = content_identity(files, tmp_path / "notes")
    assert content_identity(files, tmp_path / "notes") == first
    assert sorted(hashed) == [tmp_path / "a", tmp_path / "b"]
    files["a"].write_text("A")  # as long as before
    assert content_identity(files, tmp_path / "notes") != first
    assert len(hashed) == 4


def test_what_may_still_change_is_hashed_again(tmp_path: Path, hashed: list[Path]) -> None:
    """A file system's clock is coarse: two changes may have one time."""
    (tmp_path / "a").write_text("a")
    for _ in range(2):
        content_identity({"a": tmp_path / "a"}, tmp_path / "notes")
    assert len(hashed) == 2


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("note", ["", "[]", "{", '{"stamp": 1, "found": 2}'])
def test_a_damaged_note_is_no_note(note: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    before = content_identity({"a": tmp_path / "a"}, tmp_path / "notes")
    for path in (tmp_path / "notes").iterdir():
        path.write_text(note)
    assert content_identity({"a": tmp_path / "a"}, tmp_path / "notes") == before


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read .*gone: No such file"):
        content_identity({"gone": tmp_path / "gone"}, tmp_path)


@pytest.mark.usefixtures("settled")
def test_changed_pixels_of_a_prepared_set_are_found(tmp_path: Path) -> None:
    """The hash in the header is not believed: the pixels are hashed once per change of the file."""
    data = arrays(tmp_path / "p", 10)
    path = prepare(data)
    open_store(Arrays(), data)
    content = bytearray(path.read_bytes())
    at = content.index(ImageStore.open(path).images(0)[0].tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="its content does not match its recorded hash"):
        open_store(Arrays(), data)
