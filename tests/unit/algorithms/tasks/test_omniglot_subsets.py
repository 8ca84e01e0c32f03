"""The published backgrounds of Omniglot: the original one, the two minimal ones, one set alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import build_source, prepare
from metaray.algorithms.tasks.image_episodes import ImageEpisodes


def source(root: Path | None, cache: Path, **settings: object) -> ImageEpisodes:
    values = {"name": "omniglot", "cache": str(cache), "image_size": 28} | settings
    data = DataConfig.model_validate(values | ({} if root is None else {"root": str(root)}))
    found = build_source(data)
    assert isinstance(found, ImageEpisodes)
    return found


def alphabets(found: ImageEpisodes) -> dict[str, set[str]]:
    groups = found.store.header.class_groups
    return {split: {groups[c] for c in ids} for split, ids in found.splits.items()}


def test_the_background_alone_is_divided_by_alphabet(folders: Path, tmp_path: Path) -> None:
    shutil.rmtree(folders / "images_evaluation")
    found = source(folders, tmp_path, subset="background")
    assert alphabets(found) == {
        "train": {"background/Greek"},
        "val": {"background/Latin"},
        "test": {"background/Tifinagh"},
    }
    with pytest.raises(InputError, match=r"images_evaluation is missing.* data\.subset = backgr"):
        source(folders, tmp_path)


@pytest.mark.parametrize("small", ["small1", "small2"])
def test_a_minimal_background_takes_the_place_of_the_original(
    folders: Path, tmp_path: Path, small: str
) -> None:
    own = folders / f"images_background_{small}"
    for alphabet in ("Latin", "Greek"):
        shutil.copytree(folders / "images_background" / alphabet, own / alphabet)
    found = source(folders, tmp_path, subset=small)
    assert alphabets(found) == {
        "train": {"background/Greek"},
        "val": {"background/Latin"},
        "test": {"evaluation/Ge_ez", "evaluation/Tengwar"},
    }
    assert len(found.store) == 5 + 5
    # each has its own prepared file, which is found without the raw data
    whole = source(folders, tmp_path)
    assert len(whole.store) == 7 + 5
    assert whole.content_sha256 != found.content_sha256
    assert source(None, tmp_path, subset=small).content_sha256 == found.content_sha256
    with pytest.raises(InputError, match="the vinyals split is of Omniglot's 1623 characters"):
        source(folders, tmp_path, subset=small, split="vinyals")


def test_what_is_missing_is_named(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images_background_small2 is missing: put images_backgr"):
        source(folders, tmp_path, subset="small2")
    data = DataConfig(
        name="omniglot", cache=str(tmp_path), root=str(folders), subset="small1", download=True
    )
    with pytest.raises(InputError, match=r"data\.subset = small1 cannot be downloaded: put images"):
        prepare(data)
    with pytest.raises(InputError, match=r"data\.subset has no effect on glyphs"):
        build_source(DataConfig(name="glyphs", subset="small1"))
