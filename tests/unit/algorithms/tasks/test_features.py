"""Vectors as a data set: from ``.npz``, Parquet and the folder of an embedding."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from damage import check_damage

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source, prepare
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.embedding_record import EmbeddingRecord, features_file
from metaray.algorithms.tasks.features import Features
from metaray.algorithms.tasks.store_writer import write_store
from metaray.algorithms.tasks.vector_episodes import VectorEpisodes

CLASSES, EACH, SIZE = 8, 6, 5
NAMES = [f"class{number}" for number in range(CLASSES)]
SHAPE = EpisodeShape(ways=2, shots=1, queries=2)


def vectors() -> np.ndarray:
    """Those of class c have c in the first place, and their number in the class in the second."""
    x = np.random.default_rng(0).normal(size=(CLASSES * EACH, SIZE))
    x[:, 0] = np.arange(len(x)) // EACH
    x[:, 1] = np.arange(len(x)) % EACH
    return x


def labels() -> np.ndarray:
    return np.repeat(NAMES, EACH)


def settings(root: Path, tmp_path: Path, **changes: Any) -> DataConfig:
    return DataConfig(name="features", root=str(root), cache=str(tmp_path / "cache"), **changes)


def opened(root: Path, tmp_path: Path, **changes: Any) -> VectorEpisodes:
    source = build_source(settings(root, tmp_path, **changes))
    assert isinstance(source, VectorEpisodes)
    return source


def write_npz(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "vectors.npz"
    np.savez(path, **({"x": vectors(), "y": labels()} | arrays))
    return path


def write_parquet(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def columns_of(x: np.ndarray) -> dict[str, Any]:
    return {f"f{i}": x[:, i] for i in range(x.shape[1])}


def write_embedding(folder: Path) -> Path:
    """What an embedding leaves, of classes in two groups."""
    folder.mkdir()
    x = vectors().astype(np.float32).reshape(CLASSES, EACH, SIZE)
    groups = ["left", "right"] * (CLASSES // 2)
    items = (ImageClass(*item) for item in zip(NAMES, groups, x, strict=True))
    write_store(features_file(folder), items, name="features", parameters={})
    splits: dict[Any, Any] = {"train": NAMES[4:], "val": NAMES[2:4], "test": NAMES[:2]}
    EmbeddingRecord(encoder={}, preprocessing={}, source={}, splits=splits, versions={}).write(
        folder
    )
    return folder


def test_an_npz_of_vectors_is_sampled_by_class(tmp_path: Path) -> None:
    source = opened(write_npz(tmp_path), tmp_path)
    assert source.input_shape == (SIZE,)
    assert {split: source.num_classes(split) for split in ("train", "val", "test")} == {
        "train": 5, "val": 1, "test": 2,
    }  # fmt: skip
    spec = TaskSpec(split="train", index=3, seed=1, shape=SHAPE)
    episode, again = source.sample(spec), source.sample(spec)
    assert all(torch.equal(a, b) for a, b in zip(episode, again, strict=True))
    assert episode.query_x.shape == (4, SIZE)
    assert episode.query_x.dtype == torch.float32
    names = source.describe(spec)
    for x, y in ((episode.support_x, episode.support_y), (episode.query_x, episode.query_y)):
        assert [names[label] for label in y] == [NAMES[int(first)] for first in x[:, 0]]
    seen = torch.cat([episode.support_x, episode.query_x])[:, :2]
    assert len(seen.unique(dim=0)) == len(seen)  # support and queries are apart


def test_batches_have_the_labels_of_the_split(tmp_path: Path) -> None:
    source = opened(write_npz(tmp_path), tmp_path)
    batch = source.sample_batch(BatchSpec(split="train", index=0, seed=0, size=12))
    ids = [source.splits["train"][label] for label in batch.query_y]
    assert ids == batch.query_x[:, 0].int().tolist()
    assert not len(batch.support_x)


def test_content_is_the_same_from_every_form(tmp_path: Path) -> None:
    x, y = vectors(), labels()
    order = np.random.default_rng(1).permutation(CLASSES).repeat(EACH) * EACH + np.tile(
        np.arange(EACH), CLASSES
    )
    listed = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), SIZE)
    (tmp_path / "parts").mkdir()
    for part, rows in enumerate((slice(0, 20), slice(20, None))):
        table = columns_of(x[rows]) | {"label": y[rows]}
        write_parquet(tmp_path / "parts" / f"{part}.parquet", table)
    roots = [
        write_npz(tmp_path, x=x[order], y=y[order]),
        write_parquet(tmp_path / "columns.parquet", {"label": y} | columns_of(x)),
        write_parquet(tmp_path / "lists.parquet", {"x": x.tolist(), "label": y}),
        write_parquet(tmp_path / "fixed.parquet", {"x": listed, "label": y}),
        tmp_path / "parts",
    ]
    hashes = {opened(root, tmp_path).content_sha256 for root in roots}
    assert len(hashes) == 1
    assert opened(write_npz(tmp_path, x=x + 1), tmp_path).content_sha256 not in hashes


def test_classes_may_be_numbers_and_another_column(tmp_path: Path) -> None:
    numbers = np.repeat(np.arange(CLASSES) + 5, EACH)
    x = vectors()
    source = opened(write_npz(tmp_path, y=numbers), tmp_path)
    assert list(source.store.header.class_names) == list(map(str, range(5, 5 + CLASSES)))
    path = write_parquet(tmp_path / "a.parquet", columns_of(x) | {"species": pa.array(numbers)})
    source = opened(path, tmp_path, label_column="species")
    assert source.input_shape == (SIZE,)
    assert source.num_classes("train") == 5


def test_an_embedding_is_used_as_it_is_with_the_split_of_its_images(tmp_path: Path) -> None:
    folder = write_embedding(tmp_path / "embedded")
    source = opened(folder, tmp_path, split="source")
    assert source.store.path == features_file(folder)
    assert source.splits == {"train": (4, 5, 6, 7), "val": (2, 3), "test": (0, 1)}
    assert prepare(settings(folder, tmp_path)) == features_file(folder)
    assert source.most_ways("train", within_group=True) == 2
    assert not list((tmp_path / "cache").glob("*.arrow"))  # no second copy


def test_splits_by_lists_and_at_random(tmp_path: Path) -> None:
    root = write_npz(tmp_path)
    for split, names in (("train", NAMES[:5]), ("val", NAMES[5:6]), ("test", NAMES[6:])):
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
    listed = opened(root, tmp_path, split="lists", split_lists=str(tmp_path))
    assert listed.splits["test"] == (6, 7)
    assert opened(root, tmp_path).splits != opened(root, tmp_path, split_seed=1).splits


def test_centring_subtracts_the_mean_of_the_training_classes(tmp_path: Path) -> None:
    root = write_npz(tmp_path)
    plain, centred = opened(root, tmp_path), opened(root, tmp_path, centre=True)
    chosen = np.isin(vectors()[:, 0], plain.splits["train"])
    mean = torch.from_numpy(vectors()[chosen].mean(0)).float()
    spec = TaskSpec(split="test", index=0, seed=0, shape=SHAPE)
    torch.testing.assert_close(centred.sample(spec).query_x, plain.sample(spec).query_x - mean)


def with_value(value: float) -> np.ndarray:
    x = vectors()
    x[7, 2] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": with_value(np.nan)}, "has nan in row 7, column 2 of its vectors"),
        ({"x": with_value(np.inf)}, "has inf in row 7"),
        ({"x": with_value(1e300)}, r"has 1e\+300 in row 7.*not finite in float32"),
        ({"x": np.zeros((4, 3, 8, 8)), "y": np.arange(4)}, "images are data.name = arrays"),
        ({"x": labels()[:, None]}, "has x of <U6"),
        ({"y": labels()[1:]}, r"has y of <U6 \[47\] for 48 vectors"),
        ({"y": vectors()[:, 1]}, "classes are integers or text"),
        ({"y": labels().astype(object)}, "cannot read vectors and their classes"),
        ({"x": np.zeros((0, 3)), "y": np.zeros(0, int)}, r"has x of float64 \[0, 3\]"),
        ({"y": np.repeat(["a", "b"], 24)}, "three splits need at least 3 classes, found 2"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value)[:30],
)
def test_arrays_that_are_no_vectors(arrays: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        opened(write_npz(tmp_path, **arrays), tmp_path)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"x": [1.0, 2.0], "y": ["a", "b"]}, "has no column label, but x, y: set data.label"),
        ({"x": [1.0, 2.0], "t": ["a", "b"], "label": [0, 1]}, r"x \(double\), t \(string\), which"),
        ({"x": [[1.0], [2.0]], "z": [1, 2], "label": [0, 1]}, "which are no vector"),
        ({"x": [[1.0], [2.0, 3.0]], "label": [0, 1]}, "has lists of 1 to 2 numbers"),
        ({"x": [[1.0], [None]], "label": [0, 1]}, "has nan in row 1"),
        ({"x": [1.0, None], "label": [0, 1]}, "column x of .* has empty cells"),
        ({"x": [1.0, 2.0], "label": [0.5, 1]}, "has classes of the type double"),
        ({"label": [0, 1]}, "the columns none"),
        ({"x": pa.array([], pa.float64()), "label": pa.array([], pa.int64())}, "has no rows"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value)[:30],
)
def test_tables_that_are_no_vectors(columns: Any, sentence: str, tmp_path: Path) -> None:
    root = write_parquet(tmp_path / "table.parquet", columns)
    with pytest.raises(InputError, match=sentence):
        opened(root, tmp_path)


def test_tables_of_other_columns_or_lengths_are_not_joined(tmp_path: Path) -> None:
    for name, columns in (("a", {"x": [[1.0]]}), ("b", {"x": [[1.0, 2.0]]}), ("c", {"z": [[1.0]]})):
        write_parquet(tmp_path / f"{name}.parquet", columns | {"label": [0]})
    with pytest.raises(InputError, match=r"c.parquet has the columns z, label, and a.parquet has"):
        opened(tmp_path, tmp_path)
    (tmp_path / "c.parquet").unlink()
    with pytest.raises(InputError, match="have vectors of 1 and 2 numbers"):
        opened(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image_size": 32}, "data.image_size has no effect on features"),
        ({"augment": True}, "data.augment has no effect on features"),
        ({"split": "published"}, "features has no published split: set data.split to one of"),
        ({"split": "source"}, "set data.split = random, or write the folder again"),
    ],
)
def test_settings_without_effect(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        opened(write_npz(tmp_path), tmp_path, **changes)


def test_missing_vectors_say_what_is_needed(tmp_path: Path) -> None:
    for root in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match=re.escape("point data.root at a folder that metaray")):
            opened(root, tmp_path)


def test_a_class_with_too_few_vectors_is_named(tmp_path: Path) -> None:
    source = opened(write_npz(tmp_path), tmp_path)
    with pytest.raises(InputError, match="6 vectors, fewer than 4 shots [+] 3 queries"):
        source.check("train", EpisodeShape(ways=2, shots=4, queries=3))


def test_damaged_files_are_a_sentence(tmp_path: Path) -> None:
    table = pa.table({"x": [[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]], "label": ["a", "b", "a"]})
    np.savez(tmp_path / "v.npz", x=np.eye(3), y=np.array(["a", "b", "a"]))
    pq.write_table(table, tmp_path / "v.parquet")
    for path in (tmp_path / "v.npz", tmp_path / "v.parquet"):

        def read(content: bytes | None = None, path: Path = path) -> int:
            if content is not None:
                path.write_bytes(content)
            Features().raw_files(path, DataConfig())
            with Features().open_classes(path, DataConfig(), tmp_path) as classes:
                return len([item.load() for item in classes])

        assert read() == 2
        check_damage([path.read_bytes()], read, 80)
