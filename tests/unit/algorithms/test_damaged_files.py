"""From any damaged file of data or weights a reader gets a value, or gives one sentence."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import ODD, check_damage, check_reader, check_sentence, damaged, odd_trees
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.pretrained import read_weights
from metaray.algorithms.tasks.catalog import build_source
from metaray.algorithms.tasks.cifar100 import FC100
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.cub import Cub
from metaray.algorithms.tasks.file_tree import FileTree, TarTree, ZipTree
from metaray.algorithms.tasks.folder import Folder
from metaray.algorithms.tasks.image_files import ImageFileClass
from metaray.algorithms.tasks.miniimagenet import MiniImageNet
from metaray.algorithms.tasks.npz import Arrays
from metaray.algorithms.tasks.safe_pickle import load_data
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.store_writer import write_store

DATA = DataConfig(image_size=8)
PIXELS = np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3)


def load_all(dataset: Any, root: Path, scratch: Path) -> list[ImageClass]:
    dataset.raw_files(root, DATA)
    with dataset.open_classes(root, DATA, scratch) as classes:
        return [item.load() for item in classes]


def image_bytes(kind: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS[0]).convert(mode).save(file, kind)
    return file.getvalue()


def zip_bytes(compression: int, members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def npz_bytes(save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    save(file, images=PIXELS, labels=np.arange(6) % 3)
    return file.getvalue()


def read_tree(tree: FileTree) -> None:
    try:
        tree.names()
        for name in tree.sizes():
            tree.read(name)
    finally:
        tree.close()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_weights_of_torch(tmp_path: Path, zipped: bool) -> None:
    state = {"w": torch.ones(2, 3), "b": torch.zeros(3, dtype=torch.bfloat16)}
    path = tmp_path / "w.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_weights("resnet18", str(path))

    check_damage([path.read_bytes()], read)


def test_weights_of_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"w": torch.ones(2, 3), "b": torch.zeros(3)}, path)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_weights("resnet18", str(path))

    check_damage([path.read_bytes()], read)


@pytest.mark.parametrize(
    "content",
    [
        b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n",
        pickle.dumps({"w": [1.0]}),
        pickle.dumps({1: torch.ones(2)}),
        b"",
        b"\x80\x02" + b"\xff" * 64,
    ],
)
def test_files_that_are_no_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "passwd"
    path.write_bytes(content)
    with pytest.raises(InputError, match="passwd") as caught:
        read_weights("resnet18", str(path))
    check_sentence(caught.value)


@pytest.mark.parametrize("value", [torch.ones(2, dtype=torch.complex64), torch.eye(2).to_sparse()])
def test_weights_of_other_kinds_of_tensors(tmp_path: Path, value: torch.Tensor) -> None:
    torch.save({"w": value}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="state dict"):
        read_weights("resnet18", str(tmp_path / "w.pth"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "train.npz"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        load_all(Arrays(), path, tmp_path)

    check_damage([npz_bytes(save)], read)


def test_an_npy_that_was_renamed_and_a_size_that_is_claimed(tmp_path: Path) -> None:
    path = tmp_path / "train.npz"
    with path.open("wb") as file:
        np.save(file, PIXELS)
    with pytest.raises(InputError, match="not a zip file"):
        load_all(Arrays(), path, tmp_path)
    for shape in ((2**40, 4, 4, 3), (2**62, 2**62, 4, 3), (-1, 4, 4, 3)):
        header = io.BytesIO()
        fields = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, fields)
        path.write_bytes(
            zip_bytes(zipfile.ZIP_STORED, {"images.npy": header.getvalue(), "labels.npy": b""})
        )
        with pytest.raises(InputError, match="claims .* bytes and has 0"):
            load_all(Arrays(), path, tmp_path)


def test_a_label_that_would_become_another(tmp_path: Path) -> None:
    labels = np.array([0, 0, 1, 1, 2, 2**64 - 1], np.uint64)
    np.savez(tmp_path / "train.npz", images=PIXELS, labels=labels)
    with pytest.raises(InputError, match="the label 18446744073709551615, which has over 63 bits"):
        load_all(Arrays(), tmp_path / "train.npz", tmp_path)


@pytest.mark.parametrize(
    "compression",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
)
def test_zips(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "images.zip"
    content = zip_bytes(compression, {"a/": b"", "a/1.png": image_bytes("PNG"), "b/1.txt": b"x"})

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_tree(ZipTree(path))
        load_all(Folder(), path, tmp_path)

    check_damage([content], read)


def test_an_unknown_compression(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    content = bytearray(zip_bytes(zipfile.ZIP_STORED, {"a/1.png": image_bytes("PNG")}))
    content[8] = content[content.index(b"PK\1\2") + 10] = 93  # zstd
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a zip that can be read") as caught:
        read_tree(ZipTree(path))
    check_sentence(caught.value)


def test_tars(tmp_path: Path) -> None:
    path, source = tmp_path / "set.tar", tmp_path / "set"
    source.mkdir()
    (source / "a.txt").write_text("1 a\n")
    with tarfile.open(path, "w") as tar:
        tar.add(source, "set")

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_tree(TarTree(path, "set"))

    check_damage([path.read_bytes()[:4096]], read)


def test_the_archive_of_cub(tmp_path: Path) -> None:
    path, source, scratch = tmp_path / "CUB_200_2011.tgz", tmp_path / "cub", tmp_path / "scratch"
    (source / "images").mkdir(parents=True)
    tables = {
        "images": "1 a.jpg\n2 b.jpg\n", "image_class_labels": "1 1\n2 2\n", "classes": "1 a\n2 b\n",
        "bounding_boxes": "1 0 0 2 2\n2 1.0 1.0 2.0 2.0\n",
    }  # fmt: skip
    for name, text in tables.items():
        (source / f"{name}.txt").write_text(text)
    for name in "ab":
        (source / "images" / f"{name}.jpg").write_bytes(image_bytes("JPEG"))
    with tarfile.open(path, "w:gz") as tar:
        tar.add(source, "CUB_200_2011")

    def read_archive(content: bytes) -> None:
        path.write_bytes(content)
        (scratch / "CUB_200_2011.tar").unlink(missing_ok=True)
        load_all(Cub(), path, scratch)

    check_damage([path.read_bytes()], read_archive, 50)
    boxed = DATA.model_copy(update={"bbox_crop": True})

    def read_tables(texts: dict[str, bytes]) -> None:
        for name, text in texts.items():
            (source / f"{name}.txt").write_bytes(text)
        with Cub().open_classes(source, boxed, scratch) as classes:
            for item in classes:
                item.load()

    spoilt = {name: damaged([text.encode()]) for name, text in tables.items()}
    whole = {name: st.just(text.encode()) for name, text in tables.items()}
    one = st.sampled_from(sorted(tables)).flatmap(
        lambda name: st.fixed_dictionaries(whole | {name: spoilt[name]})
    )
    check_reader(one, read_tables, 60)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "RGB"), ("GIF", "P"),
        ("BMP", "RGB"), ("TIFF", "RGB"), ("TIFF", "L"), ("WEBP", "RGB"), ("PPM", "RGB"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd metadata
def test_images(kind: str, mode: str) -> None:
    class Files(FileTree):
        def read(self, name: str) -> bytes:
            return content

    content = b""

    def read(case: bytes) -> None:
        nonlocal content
        content = case
        ImageFileClass(name="a", group="", files=Files(), paths=["1"], image_size=8).load()

    check_damage([image_bytes(kind, mode)], read, 80)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles(protocol: int) -> None:
    content = {"x": PIXELS[:1], "y": [1, 2.5, "a", b"c", None], "z": range(4), "w": np.int64(3)}

    def read(case: bytes) -> None:
        load_data(io.BytesIO(case), "the pickle")

    check_damage([pickle.dumps(content, protocol)], read, 200)


def test_a_range_that_would_take_all_memory() -> None:
    with pytest.raises(InputError, match="a range of 1,099,511,627,776 numbers"):
        load_data(io.BytesIO(pickle.dumps({"fine_labels": range(2**40)})), "train")


def test_a_place_in_the_memo_that_would_take_all_memory() -> None:
    content = pickle.dumps({"fine_labels": [1, 2]}, 0).replace(b"p0", b"p4000000000", 1)
    assert b"p4000000000" in content
    with pytest.raises(InputError, match="asks for place 4,000,000,000"):
        load_data(io.BytesIO(content), "train")


ODD_IN_PICKLES = [*ODD, np.zeros(0), np.array(["a"]), np.zeros((2, 2)), b"", range(3), [0.5, 1.5]]


def test_cifar_with_odd_values(tmp_path: Path) -> None:
    from metaray.algorithms.tasks import cifar100

    coarse = sorted(name for names in cifar100._FC100.values() for name in names.split())
    part = {
        "data": np.zeros((100, 3072), np.uint8),
        "fine_labels": list(range(100)),
        "coarse_labels": [label % 20 for label in range(100)],
    }
    meta = {
        "fine_label_names": [f"c{i:02d}" for i in range(100)], "coarse_label_names": coarse,
    }  # fmt: skip
    whole: dict[str, Any] = {"train": part, "test": part, "meta": meta}
    for name, content in whole.items():
        (tmp_path / name).write_bytes(pickle.dumps(content))
    assert len(load_all(FC100(), tmp_path, tmp_path)) == 100

    def read(case: tuple[str, str, Any]) -> None:
        name, key, value = case
        (tmp_path / name).write_bytes(pickle.dumps(whole[name] | {key: value}))
        try:
            load_all(FC100(), tmp_path, tmp_path)
        finally:
            (tmp_path / name).write_bytes(pickle.dumps(whole[name]))

    cases = st.sampled_from(
        [(n, k, v) for n in ("test", "meta") for k in whole[n] for v in ODD_IN_PICKLES]
    )
    check_reader(cases, read, 120)


def test_miniimagenet_with_odd_values(tmp_path: Path) -> None:
    files = {s: tmp_path / f"mini-imagenet-cache-{s}.pkl" for s in ("train", "val", "test")}
    whole = {
        split: {"image_data": PIXELS, "class_dict": {f"{split}{c}": [c, c + 3] for c in range(3)}}
        for split in files
    }
    for split, path in files.items():
        path.write_bytes(pickle.dumps(whole[split]))
    assert len(load_all(MiniImageNet(), tmp_path, tmp_path)) == 9

    def read(content: Any) -> None:
        files["val"].write_bytes(pickle.dumps(content))
        load_all(MiniImageNet(), tmp_path, tmp_path)

    odd = st.sampled_from(ODD_IN_PICKLES)
    indices = odd.map(lambda value: whole["val"] | {"class_dict": {"val0": value}})
    field = st.tuples(st.sampled_from(["image_data", "class_dict"]), odd)
    check_reader(indices | field.map(lambda case: whole["val"] | {case[0]: case[1]}) | odd, read)


@pytest.mark.parametrize("indices", [[-1], [0.5], [[0, 1]], [6], [True]])
def test_indices_that_would_be_of_other_images(tmp_path: Path, indices: list[Any]) -> None:
    """numpy takes -1 for the last image, and 0.5 for the first."""
    for split in ("train", "val", "test"):
        content = {"image_data": PIXELS, "class_dict": {split: indices}}
        (tmp_path / f"mini-imagenet-cache-{split}.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match="indices that are not of its 6 images|no array"):
        load_all(MiniImageNet(), tmp_path, tmp_path)


def test_lists_of_miniimagenet(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(image_bytes("PNG"))
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text(f"filename,label\na.png,{split}\n")

    def read(content: bytes) -> None:
        (tmp_path / "val.csv").write_bytes(content)
        load_all(MiniImageNet(), tmp_path, tmp_path)

    check_damage([b"filename,label\na.png,cat\na.png,dog\n"], read)


def test_prepared_sets(tmp_path: Path) -> None:
    path = tmp_path / "set.arrow"
    images = PIXELS.transpose(0, 3, 1, 2)
    classes = [ImageClass(name, "g", images[i : i + 2]) for i, name in enumerate("abc")]
    write_store(path, classes, name="x", parameters={"version": 1})
    content = path.read_bytes()

    def read(case: bytes) -> None:
        path.unlink()  # another file, since the one before is still mapped
        path.write_bytes(case)
        store = ImageStore.open(path)
        store.verify()

    check_damage([content], read, 300)


def test_lists_of_classes(tmp_path: Path) -> None:
    for number, name in enumerate("abcde"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "set" / name / "0.png")
    for split, text in (("train", "a\nb\n"), ("val", "c\n"), ("test", "d\n")):
        (tmp_path / f"{split}.txt").write_text(text)
    data = DataConfig(
        name="folder", root=str(tmp_path / "set"), cache=str(tmp_path / "cache"), image_size=8,
        split="lists", split_lists=str(tmp_path),
    )  # fmt: skip

    def read(content: bytes) -> None:
        (tmp_path / "train.txt").write_bytes(content)
        build_source(data)

    check_damage([b"a\nb\n", b"\xef\xbb\xbfa\r\nb\r\n"], read, 60)


def test_damage_is_deterministic() -> None:
    """The same cases come in each run of the tests."""
    seen: list[list[Any]] = [[], []]
    for one in seen:
        check_reader(odd_trees({"a": [1, 2]}), one.append, 20)
    assert seen[0] == seen[1]
