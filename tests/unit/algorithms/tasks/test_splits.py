"""Splits: which classes go where, and that nothing leaks from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.splits import (
    Splits,
    check_leaks,
    omniglot_alphabet_split,
    random_split,
    script_split,
    vinyals_split,
)
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.store_writer import write_store

SHARES = (0.64, 0.16, 0.20)


def sizes(splits: Splits) -> tuple[int, ...]:
    return tuple(len(splits[name]) for name in ("train", "val", "test"))


def assert_partition(splits: Splits, total: int) -> None:
    assert sorted(c for classes in splits.values() for c in classes) == list(range(total))


def groups_of(counts: Mapping[str, int]) -> list[str]:
    return [group for group, n in counts.items() for _ in range(n)]


def test_script_split_holds_out_whole_scripts() -> None:
    groups = [f"script{c // 25:04d}" for c in range(2000)]
    splits = script_split(groups)
    assert_partition(splits, 2000)
    assert sizes(splits) == (51 * 25, 13 * 25, 16 * 25)
    used = [{groups[c] for c in splits[name]} for name in ("train", "val", "test")]
    assert used[0].isdisjoint(used[1] | used[2])
    assert used[1].isdisjoint(used[2])


def test_script_split_of_the_fewest_scripts() -> None:
    splits = script_split(["a", "a", "b", "c", "c", "c"])
    assert splits == {"train": (0, 1), "val": (2,), "test": (3, 4, 5)}
    with pytest.raises(InputError, match="at least 3 scripts, found 2"):
        script_split(["a", "a", "b"])


def test_omniglot_alphabet_split_by_name_not_by_position() -> None:
    counts = {f"background/a{i:02d}": i + 1 for i in reversed(range(30))}
    groups = groups_of({"evaluation/Zulu": 4, **counts, "evaluation/Ada": 2})
    splits = omniglot_alphabet_split(groups)
    assert_partition(splits, len(groups))
    assert {groups[c] for c in splits["val"]} == {f"background/a{i}" for i in range(25, 30)}
    assert {groups[c] for c in splits["test"]} == {"evaluation/Zulu", "evaluation/Ada"}


@pytest.mark.parametrize("groups", [["background/a", "evaluation/b"], ["evaluation/b"]])
def test_omniglot_alphabet_split_needs_two_background_alphabets(groups: list[str]) -> None:
    with pytest.raises(InputError, match="needs 2 background alphabets"):
        omniglot_alphabet_split(groups)


def test_omniglot_alphabet_split_needs_an_evaluation_set() -> None:
    with pytest.raises(InputError, match=r"without classes.*'test': 0"):
        omniglot_alphabet_split(["background/a", "background/b"])


def test_random_split_of_omniglot_has_the_sizes_of_maml() -> None:
    names = [f"c{i:04d}" for i in range(1623)]
    splits = random_split(names, 0, (1100 / 1623, 100 / 1623, 423 / 1623))
    assert_partition(splits, 1623)
    assert sizes(splits) == (1100, 100, 423)


def test_random_split_depends_on_seed_and_names_alone() -> None:
    names = [f"c{i:03d}" for i in range(100)]
    splits = random_split(names, 3, SHARES)
    assert sizes(splits) == (64, 16, 20)
    assert splits == random_split(names, 3, SHARES)
    assert splits["test"] != random_split(names, 4, SHARES)["test"]
    order = np.random.default_rng(1).permutation(100)
    shuffled = [names[i] for i in order]
    by_name = {shuffled[c] for c in random_split(shuffled, 3, SHARES)["val"]}
    assert by_name == {names[c] for c in splits["val"]}


def test_random_split_ignores_and_keeps_the_global_state() -> None:
    names = [f"c{i:03d}" for i in range(50)]
    np.random.seed(0)  # noqa: NPY002 - the state that must not matter
    first, drawn = random_split(names, 0, SHARES), np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    assert np.random.random() == drawn  # noqa: NPY002
    assert random_split(names, 0, SHARES) == first


def test_vinyals_split_refuses_part_of_omniglot() -> None:
    groups = groups_of({"background/Hebrew": 5, "background/Greek": 5, "evaluation/Ge_ez": 600})
    names = [f"{g.split('/')[1]}/c{i}" for i, g in enumerate(groups)]
    with pytest.raises(InputError, match="1623 characters, found 610 classes"):
        vinyals_split(names, groups)


def test_vinyals_split_refuses_other_alphabets_of_the_same_number() -> None:
    groups = groups_of({"background/Hebrew": 22, "background/Greek": 901, "evaluation/Ge_ez": 700})
    names = [f"{g.split('/')[1]}/c{i}" for i, g in enumerate(groups)]
    with pytest.raises(InputError, match=r"alphabets that give .*'val': 22"):
        vinyals_split(names, groups)


def store_of(path: Path, *shared: tuple[int, int]) -> ImageStore:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 3, 1, 4, 4), np.uint8)
    for a, b in shared:
        images[a, 0] = images[b, 2]
    items = [ImageClass(f"s{c // 2}/g{c}", f"s{c // 2}", images[c]) for c in range(10)]
    write_store(path, items, name="glyphs", parameters={})
    return ImageStore.open(path)


def test_leak_by_class(tmp_path: Path) -> None:
    store = store_of(tmp_path / "x")
    with pytest.raises(InputError, match="class s1/g3 is both in train and in val"):
        check_leaks(store, {"train": (0, 3), "val": (3, 4), "test": (5,)})


def test_leak_by_image(tmp_path: Path) -> None:
    store = store_of(tmp_path / "x", (9, 1))
    with pytest.raises(InputError, match=r"share an image.*s0/g1 \(train\), s4/g9 \(test\)"):
        check_leaks(store, script_split(store.header.class_groups))


def test_an_image_shared_within_a_split_is_no_leak(tmp_path: Path) -> None:
    store = store_of(tmp_path / "x", (0, 3))
    assert store.header.shared_images == ((0, 3),)
    splits = script_split(store.header.class_groups)
    assert {0, 3} <= set(splits["train"])
    check_leaks(store, splits)
    check_leaks(store, {"train": (0, 1), "val": (2,), "test": (5,)})  # 3 is in no split
