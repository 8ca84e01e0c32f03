"""The official one-shot test of Omniglot: 20 runs in the form of their archive."""

from __future__ import annotations

from pathlib import Path

import pytest
import run_archive  # type: ignore[import-not-found]
import torch
from damage import check_damage

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import EpisodeShape, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source
from metaray.algorithms.tasks.omniglot_runs import OmniglotRuns, open_runs

SHAPE = EpisodeShape(ways=20, shots=1, queries=1)


def spec(index: int, seed: int = 0, shape: EpisodeShape = SHAPE) -> TaskSpec:
    return TaskSpec(split="test", index=index, seed=seed, shape=shape)


def config(root: Path, **settings: object) -> DataConfig:
    values = {"name": "omniglot_runs", "root": str(root), "image_size": 28} | settings
    return DataConfig.model_validate(values)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("runs") / "all_runs.zip"
    path.write_bytes(run_archive.zipped(run_archive.runs()))
    return path


def test_a_run_is_an_episode_whose_answers_are_those_of_the_file(archive: Path) -> None:
    source = build_source(config(archive))
    assert isinstance(source, OmniglotRuns)
    assert source.input_shape == (1, 28, 28)
    for index in range(20):
        episode = source.sample(spec(index))
        assert episode.support_x.shape == episode.query_x.shape == (20, 1, 28, 28)
        assert episode.support_y.tolist() == list(range(20))
        assert sorted(episode.query_y.tolist()) == list(range(20))
        assert episode.query_y.tolist() != list(range(20))
        # a bar overlaps most with the bar of its class
        overlap = episode.query_x.flatten(1) @ episode.support_x.flatten(1).T
        assert torch.equal(overlap.argmax(1), episode.query_y)
    assert source.describe(spec(0))[0] == "class01"
    again = source.sample(spec(3, seed=9))
    assert all(torch.equal(a, b) for a, b in zip(again, source.sample(spec(3)), strict=True))
    assert build_source(config(archive, channels=3)).sample(spec(0)).query_x.shape[1] == 3


def test_zip_folder_and_the_folders_around_them_are_the_same(tmp_path: Path, archive: Path) -> None:
    files = run_archive.runs()
    (tmp_path / "zip").mkdir()
    (tmp_path / "zip" / "all_runs.zip").write_bytes(run_archive.zipped(files, "all_runs/"))
    for name, content in files.items():
        path = tmp_path / "folder" / "all_runs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    places = (tmp_path / "zip", tmp_path / "folder", tmp_path / "folder" / "all_runs")
    found = {open_runs(config(place)).content_sha256 for place in (archive, *places)}
    assert len(found) == 1


def test_only_the_runs_can_be_asked_for(archive: Path) -> None:
    source = build_source(config(archive))
    with pytest.raises(InputError, match=r"set task\.ways = 20, task\.shots = 1 and task\.quer"):
        source.check("test", EpisodeShape(ways=5, shots=1, queries=1))
    with pytest.raises(InputError, match="there are 20 runs and no more"):
        source.sample(spec(20))
    with pytest.raises(InputError, match="is a test alone: train on"):
        source.check("train", SHAPE)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.root is not set: put all_runs\.zip"):
        build_source(DataConfig(name="omniglot_runs"))
    with pytest.raises(InputError, match="does not hold the runs of Omniglot"):
        open_runs(config(tmp_path))
    path = tmp_path / "all_runs.zip"
    path.write_bytes(run_archive.zipped(run_archive.runs(num_runs=3, ways=2)))
    with pytest.raises(InputError, match="holds 3 folders runNN .*, not run01 to run20"):
        open_runs(config(path))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run01/test/item01.png", "does not name a drawing and the one of its class"),
        ("run01/test/item01.png ../../secret.png", "names ../../secret.png, which is not there"),
        ("run01/test/item01.png run01/training/class09.png", "which is not there"),
        ("run01/test/item02.png run01/training/class01.png", "each once"),
        ("", "differ in their number of classes"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, line: str, said: str) -> None:
    files = run_archive.runs(ways=2)
    labels = "run01/test/item02.png run01/training/class02.png\n"
    files["run01/class_labels.txt"] = f"{labels}{line}\n".encode()
    path = tmp_path / "all_runs.zip"
    path.write_bytes(run_archive.zipped(files))
    with pytest.raises(InputError, match=said):
        open_runs(config(path))


def test_damage_is_one_sentence(tmp_path: Path) -> None:
    path, whole = tmp_path / "all_runs.zip", run_archive.runs(ways=2)

    def read_labels(content: bytes) -> None:
        path.write_bytes(run_archive.zipped({**whole, "run07/class_labels.txt": content}))
        open_runs(config(path))

    def read_archive(content: bytes) -> None:
        path.write_bytes(content)
        open_runs(config(path))

    check_damage([whole["run07/class_labels.txt"]], read_labels, examples=40)
    check_damage([run_archive.zipped(whole)], read_archive, examples=40)
