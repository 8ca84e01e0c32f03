"""Any folder of class folders: what is a class, how they are split, and what is refused."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source, prepare, splits_of
from metaray.algorithms.tasks.folder import Folder
from metaray.algorithms.tasks.image_episodes import ImageEpisodes
from metaray.algorithms.tasks.parts import Chunk
from metaray.algorithms.tasks.store import ImageStore

ANIMALS = [f"animal{i}" for i in range(8)]
SIZE = 8


def write(path: Path, seed: int, mode: str = "RGB", size: tuple[int, int] = (SIZE, SIZE)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four images a class, of several formats, modes and sizes."""
    root = tmp_path / "pets"
    for c, animal in enumerate(reversed(ANIMALS)):
        write(root / animal / "a.png", 10 * c)
        write(root / animal / "b.JPG", 10 * c + 1, size=(12, 9))
        write(root / animal / "c.png", 10 * c + 2, "L")
        write(root / animal / "d.gif", 10 * c + 3, "P")
    return root


def config(root: Path, tmp_path: Path, **settings: Any) -> DataConfig:
    given = {"image_size": SIZE, "cache": str(tmp_path / "cache")} | settings
    return DataConfig(name="folder", root=str(root), **given)


def store_of(root: Path, tmp_path: Path) -> ImageStore:
    return ImageStore.open(prepare(config(root, tmp_path)))


def zipped(root: Path, path: Path, around: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*"), reverse=True):
            archive.write(file, around + file.relative_to(root).as_posix())
    return path


def test_folder_and_zip_are_the_same(root: Path, tmp_path: Path) -> None:
    stores = [
        store_of(root, tmp_path),
        store_of(zipped(root, tmp_path / "a.zip"), tmp_path),
        store_of(zipped(root, tmp_path / "b.zip", around="pets/"), tmp_path),
    ]
    assert stores[0].header.sha256 == stores[1].header.sha256
    assert len({store.header.sha256 for store in stores}) == 1
    assert list(stores[0].header.class_names) == ANIMALS
    assert {len(stores[0].images(c)) for c in range(8)} == {4}
    with Image.open(root / "animal7" / "a.png") as image:
        np.testing.assert_array_equal(stores[0].images(7)[0], np.asarray(image).transpose(2, 0, 1))


def test_photographs_are_upright_and_16_bits_keep_their_greys(root: Path, tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6  # the camera was held upright: turn by 90 degrees
    with Image.open(root / "animal0" / "a.png") as image:
        pixels = np.asarray(image)
        image.save(root / "animal0" / "a.png", exif=turned)
    wide = np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE) * 1000
    Image.fromarray(wide).save(root / "animal0" / "c.png")
    images = store_of(root, tmp_path).images(0)
    np.testing.assert_array_equal(images[0], np.rot90(pixels, -1).transpose(2, 0, 1))
    np.testing.assert_array_equal(images[2][0], wide // 256)
    Image.fromarray(wide.astype(np.float32)).save(root / "animal0" / "d.tiff")
    with pytest.raises(InputError, match=r"d\.tiff of class animal0 .*8 or 16 bits"):
        store_of(root, tmp_path)


def test_classes_can_be_sent_to_another_process(root: Path, tmp_path: Path) -> None:
    for place in (root, zipped(root, tmp_path / "a.zip")):
        data = config(place, tmp_path)
        with Folder().open_classes(place, data, tmp_path) as classes:
            sent = pickle.dumps(classes[2:4])
            expected = [item.load() for item in classes[2:4]]
        assert len(sent) < 2000  # where the images are, not the images
        for item, original in zip(pickle.loads(sent), expected, strict=True):
            np.testing.assert_array_equal(item.load().images, original.images)


def test_other_images_are_another_set(root: Path, tmp_path: Path) -> None:
    before = prepare(config(root, tmp_path))
    write(root / "animal3" / "a.png", 999, size=(30, 30))
    assert prepare(config(root, tmp_path)) != before


def test_train_and_test_folders_of_a_class_are_one_class(root: Path, tmp_path: Path) -> None:
    divided = tmp_path / "divided"
    for animal in ANIMALS:
        for name, part in (("a.png", "train"), ("b.JPG", "train"), ("c.png", "test")):
            (divided / part / animal).mkdir(parents=True, exist_ok=True)
            shutil.copy(root / animal / name, divided / part / animal / name)
    store = store_of(divided, tmp_path)
    assert list(store.header.class_names) == ANIMALS
    assert {len(store.images(c)) for c in range(8)} == {3}


def test_classes_of_one_name_in_two_groups_are_two(tmp_path: Path) -> None:
    root = tmp_path / "letters"
    for g, group in enumerate(("Greek", "Latin")):
        for c, letter in enumerate(("alpha", "beta")):
            write(root / group / letter / "1.png", 2 * g + c)
    write(root / "Greek" / ".hidden" / "1.png", 7)
    (root / "Greek" / "alpha" / "notes.txt").write_text("x")
    header = store_of(root, tmp_path).header
    assert header.class_names == ("Greek/alpha", "Greek/beta", "Latin/alpha", "Latin/beta")
    assert header.class_groups == ("Greek", "Greek", "Latin", "Latin")


def test_split_by_ratio_and_seed(root: Path, tmp_path: Path) -> None:
    store = store_of(root, tmp_path)

    def split(**settings: Any) -> Any:
        return splits_of(store, config(root, tmp_path, **settings))

    assert [len(split()[s]) for s in ("train", "val", "test")] == [5, 1, 2]
    half = split(split_ratio=[0.5, 0.25, 0.25])
    assert [len(half[s]) for s in ("train", "val", "test")] == [4, 2, 2]
    assert sorted(c for part in half.values() for c in part) == list(range(8))
    assert len({split(split_seed=seed)["test"] for seed in range(10)}) > 3
    few = split(split_ratio=[0.01, 0.01, 0.98])
    assert [len(few[s]) for s in ("train", "val", "test")] == [1, 1, 6]


def test_split_by_lists(root: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train.txt").write_text("animal6\nanimal0\n\n")
    (lists / "val.txt").write_text("animal3\n")
    (lists / "test.txt").write_text("animal5\nanimal1\n")
    data = config(root, tmp_path, split="lists", split_lists=str(lists))
    store = store_of(root, tmp_path)
    assert splits_of(store, data) == {"train": (0, 6), "val": (3,), "test": (1, 5)}
    (lists / "val.txt").write_text("animal_3\n")
    with pytest.raises(
        InputError, match="class animal_3, which is not there, did you mean animal3"
    ):
        splits_of(store, data)
    (lists / "val.txt").write_text("animal5\n")
    with pytest.raises(InputError, match="animal5 is listed twice, for val and test"):
        splits_of(store, data)
    (lists / "val.txt").write_text("")
    with pytest.raises(InputError, match="leaves a part without classes"):
        splits_of(store, data)
    (lists / "val.txt").unlink()
    with pytest.raises(InputError, match=r"cannot read the list of classes .*val\.txt"):
        splits_of(store, data)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": "lists"}, "split = lists needs data.split_lists"),
        ({"split": "alphabet"}, "folder has no alphabet split: set data.split to one of random"),
        ({"split_lists": "x"}, "data.split_lists has no effect on the random split"),
        ({"bbox_crop": True}, "data.bbox_crop has no effect on folder"),
        ({"num_classes": 5}, "data.num_classes has no effect on folder"),
    ],
)
def test_settings_without_effect(
    root: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        prepare(config(root, tmp_path, **settings))


@pytest.mark.parametrize(
    "ratio", [[0.5, 0.5, 0.5], [1.0, 0.0, 0.0], [0.6, 0.6, -0.2], [0.5, 0.5], []]
)
def test_ratios_that_are_none(root: Path, tmp_path: Path, ratio: list[float]) -> None:
    with pytest.raises(ValueError, match="three positive shares that add up to 1"):
        config(root, tmp_path, split_ratio=ratio)


def test_bad_folders(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not hold images .*no such folder or file"):
        prepare(config(tmp_path / "nowhere", tmp_path))
    with pytest.raises(InputError, match=r"animal0 does not hold images in folders .*a\.png"):
        prepare(config(root / "animal0", tmp_path))
    (root / "animal2" / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match=r"animal2/a\.png of class animal2 is not an image"):
        prepare(config(root, tmp_path))
    archive = zipped(root, tmp_path / "x.zip")
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"x\.zip is truncated or not a zip"):
        prepare(config(archive, tmp_path))


def test_a_misspelt_root_is_not_taken_for_what_is_prepared(root: Path, tmp_path: Path) -> None:
    path = prepare(config(root, tmp_path))
    with pytest.raises(InputError, match="petz does not hold images .*no such folder or file"):
        build_source(config(tmp_path / "petz", tmp_path))
    shutil.rmtree(root)
    anywhere = DataConfig(name="folder", image_size=SIZE, cache=str(tmp_path / "cache"))
    assert prepare(anywhere) == path


def test_zips_that_cannot_be_read_without_more(root: Path, tmp_path: Path) -> None:
    archive = zipped(root, tmp_path / "x.zip")
    with zipfile.ZipFile(archive) as whole:
        names = [i for i in whole.infolist() if i.filename.endswith(".png")]
    content = bytearray(archive.read_bytes())
    content[names[0].header_offset + 6] |= 1  # says that it is encrypted
    central = content.index(b"PK\x01\x02")
    while content[central : central + 4] == b"PK\x01\x02":
        content[central + 8] |= 1
        lengths = [
            int.from_bytes(content[central + i : central + i + 2], "little") for i in (28, 30, 32)
        ]
        central += 46 + sum(lengths)
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.zip is truncated or not a zip .*password"):
        prepare(config(archive, tmp_path))


def test_a_image_in_two_splits_is_a_leak(root: Path, tmp_path: Path) -> None:
    data = config(root, tmp_path)
    splits = splits_of(store_of(root, tmp_path), data)
    a, b = (ANIMALS[splits[part][0]] for part in ("train", "test"))
    shutil.copy(root / a / "a.png", root / b / "copy.png")
    with pytest.raises(InputError, match="share an image"):
        prepare(data)


def test_parts_give_the_same_file_and_a_stopped_preparation_goes_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a large set: here, any set is large and a chunk holds two classes."""
    expected = store_of(root, tmp_path).header.sha256
    monkeypatch.setattr("metaray.algorithms.tasks.catalog.PARTS_FROM", 1)
    monkeypatch.setattr("metaray.algorithms.tasks.parts._CHUNK", 8)
    data = config(root, tmp_path, cache=str(tmp_path / "other"))
    asked: list[str] = []

    def backwards(work: Any, chunks: Any) -> Any:
        for chunk in reversed(chunks):
            asked.append(chunk.path.name)
            yield work(chunk)

    def killed(work: Any, chunks: list[Chunk]) -> Any:
        for count, chunk in enumerate(chunks):
            if count == 2:
                raise KeyboardInterrupt
            yield work(chunk)

    steps: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        prepare(data, mapper=killed)
    (folder,) = (tmp_path / "other").iterdir()
    done = sorted(p.name for p in folder.iterdir())
    assert done == ["000000-0002.arrow", "000002-0002.arrow"]
    (folder / done[1]).write_bytes(b"cut off")
    path = prepare(data, lambda *step: steps.append(step), backwards)
    assert asked == ["000006-0002.arrow", "000004-0002.arrow", "000002-0002.arrow"]
    assert steps == [(4, 8), (6, 8), (8, 8)]
    assert ImageStore.open(path).header.sha256 == expected
    assert list((tmp_path / "other").iterdir()) == [path]


def episodes(root: Path, tmp_path: Path, **settings: Any) -> ImageEpisodes:
    source = build_source(config(root, tmp_path, **settings))
    assert isinstance(source, ImageEpisodes)
    return source


def spec(split: Any, index: int = 0) -> TaskSpec:
    shape = EpisodeShape(ways=2, shots=1, queries=3)
    return TaskSpec(split=split, index=index, seed=0, shape=shape)


def test_augmentation_is_for_training_and_follows_the_episode(root: Path, tmp_path: Path) -> None:
    plain, augmented = episodes(root, tmp_path), episodes(root, tmp_path, augment=True)
    a, b = plain.sample(spec("test")), augmented.sample(spec("test"))
    assert (a.query_x == b.query_x).all()
    a, b = plain.sample(spec("train")), augmented.sample(spec("train"))
    assert (a.query_y == b.query_y).all()
    assert plain.describe(spec("train")) == augmented.describe(spec("train"))
    again = augmented.sample(spec("train"))
    assert all((x == y).all() for x, y in zip(b, again, strict=True))
    seen = {_how(x.numpy(), y.numpy()) for x, y in zip(a.query_x, b.query_x, strict=True)}
    for index in range(1, 12):
        pair = [s.sample(spec("train", index)).query_x.numpy() for s in (plain, augmented)]
        seen |= {_how(x, y) for x, y in zip(*pair, strict=True)}
    assert len(seen) == 18  # nine places, flipped or not


def test_batches_are_augmented_and_converted_as_episodes_are(root: Path, tmp_path: Path) -> None:
    train, test = (BatchSpec(split=s, index=0, seed=0, size=8) for s in ("train", "test"))
    plain, augmented = episodes(root, tmp_path), episodes(root, tmp_path, augment=True)
    assert (plain.sample_batch(test).query_x == augmented.sample_batch(test).query_x).all()
    a, b = plain.sample_batch(train), augmented.sample_batch(train)
    assert (a.query_y == b.query_y).all()
    seen = {_how(x.numpy(), y.numpy()) for x, y in zip(a.query_x, b.query_x, strict=True)}
    assert len(seen) > 3
    grey = episodes(root, tmp_path, channels=1).sample_batch(train).query_x
    weights = np.array([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    expected = (a.query_x.numpy() * weights).sum(1, keepdims=True)
    np.testing.assert_allclose(grey.numpy(), expected, atol=1e-6)


def _how(x: np.ndarray, y: np.ndarray) -> tuple[int, int, bool]:
    """The shift (a pixel, an eighth of 8) and flip by which ``x`` becomes ``y``."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    for top in range(3):
        for left in range(3):
            seen = padded[:, top : top + SIZE, left : left + SIZE]
            for flip in (False, True):
                if np.array_equal(seen[..., ::-1] if flip else seen, y):
                    return top, left, flip
    raise AssertionError("not a shift or a flip")


def test_channels_are_converted(root: Path, tmp_path: Path) -> None:
    colour, grey = episodes(root, tmp_path), episodes(root, tmp_path, channels=1)
    assert colour.input_shape == (3, SIZE, SIZE)
    assert grey.input_shape == (1, SIZE, SIZE)
    x, luma = colour.sample(spec("test")).query_x, grey.sample(spec("test")).query_x
    weights = np.array([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    expected = (x.numpy() * weights).sum(1, keepdims=True)
    np.testing.assert_allclose(luma.numpy(), expected, atol=1e-6)
    glyphs = DataConfig(cache=str(tmp_path), num_classes=75, image_size=8, channels=3)
    repeated = build_source(glyphs).sample(spec("test")).query_x
    assert repeated.shape[1:] == (3, 8, 8)
    assert (repeated[:, 0] == repeated[:, 2]).all()
