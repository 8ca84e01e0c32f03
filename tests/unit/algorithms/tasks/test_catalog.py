"""Data sets by name: prepared once, found again, and no setting ignored."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import EpisodeShape, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks import catalog
from metaray.algorithms.tasks.catalog import build_source, prepare, splits_of
from metaray.algorithms.tasks.image_episodes import ImageEpisodes
from metaray.algorithms.tasks.splits import SPLIT_RULES, check_leaks
from metaray.algorithms.tasks.store import ImageStore


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def glyphs(cache: Path | None, **settings: Any) -> DataConfig:
    where = None if cache is None else str(cache)
    return DataConfig(**{"cache": where, "num_classes": 75, "image_size": 10} | settings)


def omniglot(cache: Path, root: Path | None, **settings: Any) -> DataConfig:
    where = None if root is None else str(root)
    return DataConfig(name="omniglot", cache=str(cache), root=where, image_size=14, **settings)


def images(data: DataConfig) -> ImageEpisodes:
    source = build_source(data)
    assert isinstance(source, ImageEpisodes)
    return source


def test_every_split_is_explained() -> None:
    rules = DataConfig.model_json_schema()["properties"]["split"]["enum"]
    assert sorted(SPLIT_RULES) == sorted(rules)


def test_glyphs_are_prepared_once_and_then_opened(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[int, int]] = []
    first = build_source(glyphs(cache), lambda done, total: steps.append((done, total)))
    assert steps == [(i + 1, 75) for i in range(75)]
    monkeypatch.setattr(catalog, "_write", None)
    again = build_source(glyphs(cache, split="random", rotations="all"))
    assert isinstance(first, ImageEpisodes)
    assert isinstance(again, ImageEpisodes)
    assert first.store.path == again.store.path
    assert {name: len(ids) for name, ids in first.splits.items()} == {
        "train": 25,
        "val": 25,
        "test": 25,
    }
    assert {name: len(ids) for name, ids in again.splits.items()} == {
        "train": 48,
        "val": 12,
        "test": 15,
    }
    assert again.rotations == "all"


def test_what_changes_pixels_changes_the_file(cache: Path) -> None:
    settings: list[dict[str, Any]] = [{}, {"image_size": 12}, {"num_classes": 76}]
    assert len({prepare(glyphs(cache, **s)) for s in settings}) == 3


def test_cache_folder_setting_goes_before_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METARAY_CACHE", str(tmp_path / "env"))
    assert prepare(glyphs(tmp_path / "set")).parent == tmp_path / "set"
    assert prepare(glyphs(None)).parent == tmp_path / "env"
    monkeypatch.delenv("METARAY_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert prepare(glyphs(None)).parent == tmp_path / "home/.cache/metaray"


def test_prepare_verifies_what_is_there(cache: Path) -> None:
    path = prepare(glyphs(cache))
    images_of_0 = ImageStore.open(path).images(0).tobytes()
    data = bytearray(path.read_bytes())
    data[data.index(images_of_0) + 50] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="does not match its recorded hash"):
        prepare(glyphs(cache))


def test_truncated_prepared_file_says_what_to_do(cache: Path) -> None:
    path = prepare(glyphs(cache))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="delete it and prepare it again"):
        build_source(glyphs(cache))


def test_processes_may_prepare_at_once_and_none_loads_torch(cache: Path) -> None:
    code = (
        "import sys; from metaray.algorithms.tasks.catalog import prepare;"
        "from metaray.algorithms.configs import DataConfig;"
        f"data = DataConfig(cache={str(cache)!r}, num_classes=75, image_size=10);"
        "print(prepare(data), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {process.communicate(timeout=240)[0] for process in running}
    (path,) = cache.iterdir()
    assert printed == {f"{path} False\n"}
    ImageStore.open(path).verify()


def test_omniglot_from_zips_and_from_folders_is_the_same(
    cache: Path, zips: Path, folders: Path
) -> None:
    a, b = images(omniglot(cache, zips)), images(omniglot(cache, folders))
    assert a.store.path != b.store.path
    assert a.store.header.sha256 == b.store.header.sha256
    names = a.store.header.class_names
    assert {names[c].split("/")[0] for c in a.splits["val"]} == {"Tifinagh"}
    assert {names[c].split("/")[0] for c in a.splits["test"]} == {"Ge_ez", "Tengwar"}


def test_omniglot_is_prepared_once(
    cache: Path, zips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = images(omniglot(cache, zips))
    monkeypatch.setattr(catalog, "_write", None)
    assert images(omniglot(cache, zips, split="random")).store.path == first.store.path


@pytest.mark.parametrize("keep_setting", [True, False])
def test_prepared_omniglot_needs_no_root(cache: Path, zips: Path, keep_setting: bool) -> None:
    path = prepare(omniglot(cache, zips))
    shutil.rmtree(zips)
    assert images(omniglot(cache, zips if keep_setting else None)).store.path == path


def test_another_omniglot_is_not_taken_for_the_first(
    cache: Path, zips: Path, folders: Path
) -> None:
    first = prepare(omniglot(cache, zips))
    shutil.rmtree(folders / "images_background" / "Latin")
    second = images(omniglot(cache, folders))
    assert second.store.path != first
    assert len(second.store) == 9
    assert images(omniglot(cache, zips)).store.path == first
    with pytest.raises(InputError, match=r"2 different omniglot sets.*set data\.root"):
        build_source(omniglot(cache, None))


def test_omniglot_neither_prepared_nor_on_disk(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder .* with Omniglot: put images_background"):
        build_source(omniglot(cache, tmp_path / "nowhere"))
    with pytest.raises(
        InputError, match=r"prepared in .*, and data\.root is not set: put images_ba"
    ):
        build_source(omniglot(cache, None))


def test_vinyals_split_needs_the_whole_of_omniglot(cache: Path, zips: Path) -> None:
    with pytest.raises(InputError, match="1623 characters, found 12 classes"):
        build_source(omniglot(cache, zips, split="vinyals"))


def test_download_is_asked_for_only_when_set_and_needed(
    cache: Path, zips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Path] = []

    def fetch(root: Path) -> None:
        fetched.append(root)
        shutil.copytree(zips, root / "omniglot-py")

    monkeypatch.setattr("metaray.algorithms.tasks.omniglot.download", fetch)
    build_source(omniglot(cache, zips, download=True))
    assert fetched == []
    new = tmp_path / "new"
    with pytest.raises(InputError, match="no folder"):
        build_source(omniglot(tmp_path / "cache2", new))
    assert fetched == []
    for _ in range(2):
        assert len(images(omniglot(tmp_path / "cache2", new, download=True)).store) == 12
    assert fetched == [new]


def test_drawing_in_two_splits_is_a_leak(cache: Path, folders: Path) -> None:
    source = folders / "images_background/Latin/character02/0004_01.png"
    shutil.copy(source, folders / "images_evaluation/Tengwar/character01/0011_02.png")
    leak = r"Latin/character02 \(train\), Tengwar/character01 \(test\)"
    for _ in range(2):  # when it is prepared, and at every later start
        with pytest.raises(InputError, match=leak):
            build_source(omniglot(cache, folders))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": "vinyals"}, "glyphs has no vinyals split"),
        ({"root": "x"}, "data.root has no effect on glyphs"),
        ({"download": True}, "data.download has no effect on glyphs"),
        ({"split_seed": 1}, "data.split_seed has no effect on the alphabet split"),
        ({"name": "omniglot", "num_classes": 5}, "data.num_classes has no effect on omniglot"),
        ({"name": "sinusoid", "rotations": "all"}, "data.rotations has no effect on sinusoid"),
        ({"name": "sinusoid", "split": "random"}, "data.split has no effect on sinusoid"),
        ({"name": "sinusoid", "image_size": 14}, "data.image_size has no effect on sinusoid"),
        ({"name": "sinusoid", "download": True}, "data.download has no effect on sinusoid"),
        ({"num_classes": 50}, "at least 3 scripts, found 2"),
    ],
)
def test_settings_without_effect_are_refused(
    cache: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        build_source(DataConfig(cache=str(cache), **settings))


def test_sinusoid_needs_no_preparation(cache: Path) -> None:
    data = DataConfig(name="sinusoid", cache=str(cache))
    assert build_source(data).kind == "regression"
    with pytest.raises(InputError, match="nothing to prepare"):
        prepare(data)
    assert not cache.exists()


@pytest.mark.shared_data
def test_the_real_omniglot(cache: Path, real_omniglot: Path) -> None:
    """One preparation, then every split without decoding again, without leaks."""
    data = DataConfig(name="omniglot", root=str(real_omniglot), cache=str(cache))
    decoded: list[int] = []
    prepare(data, lambda done, _: decoded.append(done))
    assert decoded
    decoded.clear()
    source = build_source(data, lambda done, _: decoded.append(done))
    assert isinstance(source, ImageEpisodes)
    assert not decoded
    store, names = source.store, source.store.header.class_names
    expected = {
        "alphabet": (813, 151, 659),
        "vinyals": (1028, 172, 423),
        "random": (1100, 100, 423),
    }
    for rule, sizes in expected.items():
        splits = splits_of(store, DataConfig(name="omniglot", split=rule))  # type: ignore[arg-type]
        assert tuple(len(splits[s]) for s in ("train", "val", "test")) == sizes
        check_leaks(store, splits)
    vinyals = splits_of(store, DataConfig(name="omniglot", split="vinyals"))
    assert names[vinyals["test"][0]] == "Gurmukhi/character42"
    assert {len(store.images(c)) for c in range(len(store))} == {20}
    drawings = [image.tobytes() for c in range(len(store)) for image in store.images(c)]
    assert len(drawings) - len(set(drawings)) == 1  # drawings 3 and 19 of Braille/character01
    shape = EpisodeShape(ways=20, shots=1, queries=5)
    episode = source.sample(TaskSpec(split="test", index=0, seed=0, shape=shape))
    assert 0.03 < episode.query_x.mean() < 0.2
    assert bool(torch.isfinite(episode.query_x).all())
    assert [name for name in os.listdir(cache) if name[0] != "."] == [store.path.name]
