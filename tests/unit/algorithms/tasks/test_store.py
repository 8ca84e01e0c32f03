"""The prepared file: what is written is what is read, and a damaged one is refused."""

from __future__ import annotations

import os
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from metaray.algorithms.errors import DiskError, InputError
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.store import METADATA_KEY, ImageStore
from metaray.algorithms.tasks.store_writer import write_store

SIZES = (3, 5, 1, 4)


def some_classes(seed: int = 0) -> list[ImageClass]:
    rng = np.random.default_rng(seed)
    return [
        ImageClass(f"class{c}", f"group{c // 2}", rng.integers(0, 256, (n, 2, 4, 3), np.uint8))
        for c, n in enumerate(SIZES)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "set.arrow"
    write_store(path, some_classes(), name="toy", parameters={"size": 4})
    return path


def test_round_trip(path: Path) -> None:
    store = ImageStore.open(path)
    assert len(store) == len(SIZES)
    for class_id, written in enumerate(some_classes()):
        np.testing.assert_array_equal(store.images(class_id), written.images)
    assert store.header.class_names == ("class0", "class1", "class2", "class3")
    assert store.header.class_groups == ("group0", "group0", "group1", "group1")
    assert store.header.image_shape == (2, 4, 3)
    assert store.header.parameters == {"size": 4}
    store.verify()


def test_rows_are_plain_arrow_sorted_by_class(path: Path) -> None:
    table = pa.ipc.open_file(str(path)).read_all()
    assert table["class_id"].to_pylist() == [c for c, n in enumerate(SIZES) for _ in range(n)]
    assert table["image"][3].as_py() == some_classes()[1].images[0].tobytes()


def test_images_are_a_read_only_view_of_the_map(path: Path) -> None:
    images = ImageStore.open(path).images(1)
    assert images.base is not None
    with pytest.raises(ValueError, match="read-only"):
        images[0, 0, 0, 0] = 1


def test_pickled_store_opens_the_file_again(path: Path) -> None:
    data = pickle.dumps(ImageStore.open(path))
    assert len(data) < 500
    np.testing.assert_array_equal(pickle.loads(data).images(3), some_classes()[3].images)


def test_pickled_store_refuses_other_content_under_its_path(path: Path) -> None:
    data = pickle.dumps(ImageStore.open(path))
    write_store(path, some_classes(seed=1), name="toy", parameters={})
    with pytest.raises(InputError, match="not that with which this run started"):
        pickle.loads(data)


def test_content_hash_sees_names_and_pixels(tmp_path: Path, path: Path) -> None:
    def sha(classes: list[ImageClass]) -> str:
        write_store(tmp_path / "x", classes, name="other", parameters={"other": 1})
        return ImageStore.open(tmp_path / "x").header.sha256

    original = ImageStore.open(path).header.sha256
    assert sha(some_classes()) == original
    renamed, changed = some_classes(), some_classes()
    renamed[2] = renamed[2]._replace(name="else")
    changed[3].images[2, 1, 3, 2] ^= 1
    assert len({original, sha(renamed), sha(changed)}) == 3


def test_shared_images_name_classes_and_ignore_repeats_within_one(tmp_path: Path) -> None:
    classes = some_classes()
    classes[0].images[2] = classes[3].images[1]
    classes[1].images[4] = classes[1].images[0]
    write_store(tmp_path / "x", classes, name="toy", parameters={})
    assert ImageStore.open(tmp_path / "x").header.shared_images == ((0, 3),)


def test_verify_finds_a_flipped_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(some_classes()[1].images.tobytes())
    data[at + 7] ^= 4
    path.write_bytes(data)
    with pytest.raises(InputError, match="does not match its recorded hash"):
        ImageStore.open(path).verify()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no prepared data set at .*nowhere"):
        ImageStore.open(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 4, 100, -1, -300])
def test_truncated_file(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"not a whole Arrow file.*prepare it again"):
        ImageStore.open(path)


def test_file_that_is_not_arrow(path: Path) -> None:
    path.write_bytes(b"PNG or whatever" * 100)
    with pytest.raises(InputError, match="not a whole Arrow file"):
        ImageStore.open(path)


def rewrite(path: Path, header: bytes | None, batches: slice = slice(None)) -> None:
    table = pa.ipc.open_file(str(path))
    kept = [table.get_batch(i) for i in range(table.num_record_batches)][batches]
    schema = table.schema.with_metadata({METADATA_KEY: header} if header else None)
    with pa.ipc.new_file(str(path) + "2", schema) as writer:
        for batch in kept:
            writer.write_batch(batch)
    os.replace(str(path) + "2", path)


def test_arrow_file_of_someone_else(path: Path) -> None:
    rewrite(path, None)
    with pytest.raises(InputError, match="that metaray did not write"):
        ImageStore.open(path)


def test_other_format_version(path: Path) -> None:
    header = ImageStore.open(path).header.model_copy(update={"format_version": 99})
    rewrite(path, header.model_dump_json().encode())
    with pytest.raises(InputError, match="format version 99, this metaray reads 1"):
        ImageStore.open(path)


def test_description_that_cannot_be_read(path: Path) -> None:
    rewrite(path, b'{"name": "toy"}')
    with pytest.raises(InputError, match="its description cannot be read"):
        ImageStore.open(path)


@pytest.mark.parametrize(
    ("batches", "found"),
    [
        (slice(0, 3), "3 classes stored, 4 named"),
        (slice(None, None, -1), "rows of class 0 are not where"),
    ],
)
def test_rows_that_do_not_fit_the_description(path: Path, batches: slice, found: str) -> None:
    rewrite(path, ImageStore.open(path).header.model_dump_json().encode(), batches)
    with pytest.raises(InputError, match=found):
        ImageStore.open(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    before = path.read_bytes()

    def failing() -> Iterator[ImageClass]:
        yield from some_classes(seed=2)[:2]
        raise RuntimeError("stopped half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        write_store(path, failing(), name="toy", parameters={})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_classes_are_taken_one_at_a_time(tmp_path: Path) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def watched() -> Iterator[ImageClass]:
        nonlocal most
        for class_id in range(10):
            images = np.full((2, 1, 3, 3), class_id, np.uint8)
            alive.append(weakref.ref(images))
            yield ImageClass(f"class{class_id}", "group", images)
            del images
            most = max(most, sum(ref() is not None for ref in alive))

    write_store(tmp_path / "x", watched(), name="toy", parameters={})
    assert len(alive) == 10
    assert most <= 2  # the first class may be held to the end, for its shape


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no classes"):
        write_store(tmp_path / "x", [], name="toy", parameters={})


@pytest.mark.parametrize("shape", [(3, 2, 4, 4), (0, 2, 4, 3)])
def test_class_of_another_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    odd = ImageClass("odd", "group", np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match="class odd has images of shape"):
        write_store(tmp_path / "x", [*some_classes(), odd], name="toy", parameters={})
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write the prepared data set.*data\.cache"):
        write_store(tmp_path / "file" / "x", some_classes(), name="toy", parameters={})


def test_full_disk(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metaray.algorithms.tasks.store_writer._write_draft", _write_to_full)
        with pytest.raises(DiskError, match="No space left on device"):
            write_store(tmp_path / "x", some_classes(), name="toy", parameters={})
    assert list(tmp_path.iterdir()) == []


def _write_to_full(*_: object) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
