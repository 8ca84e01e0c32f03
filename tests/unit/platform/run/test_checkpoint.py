"""Checkpoints are whole, verified, pruned, and never another network's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from metaray.algorithms.atomic import atomic_path
from metaray.algorithms.errors import DiskError, InputError
from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore, params_sha256


def checkpoint(step: int, best: int | None = None) -> Checkpoint:
    return Checkpoint(
        step=step,
        tensors={
            "params": torch.arange(4.0) + step,
            "buffers": torch.empty(0),
            "optimizer.step": torch.tensor(float(step)),
        },
        best_step=best,
        best_score=None if best is None else 0.5,
        wall_s=1.5,
    )


def store(folder: Path, shapes: str = "maml float32: w 4", keep: int = 2) -> CheckpointStore:
    return CheckpointStore(folder, shapes, keep)


def test_round_trip_is_exact(tmp_path: Path) -> None:
    saved = checkpoint(3, best=3)
    store(tmp_path).save(saved)
    loaded = store(tmp_path).load(3)
    assert (loaded.step, loaded.best_step, loaded.best_score, loaded.wall_s) == (3, 3, 0.5, 1.5)
    assert loaded.tensors.keys() == saved.tensors.keys()
    assert all(torch.equal(loaded.tensors[k], saved.tensors[k]) for k in saved.tensors)
    assert params_sha256(loaded) == params_sha256(saved) != params_sha256(checkpoint(4))


def test_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    kept = store(tmp_path, keep=2)
    for step in range(1, 7):
        kept.save(checkpoint(step, best=min(step, 2)))
    assert sorted(kept.steps()) == [2, 5, 6]
    latest = kept.latest()
    assert latest is not None
    assert latest.step == 6
    assert store(tmp_path / "empty").latest() is None


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "text"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    path = store(tmp_path).save(checkpoint(1))
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-2] ^= 1
    path.write_bytes(
        {"truncate": content[:-7], "flip": content, "empty": b"", "text": b"hello world, hello"}[
            damage
        ]
    )
    with pytest.raises(InputError, match="(is damaged|is not a readable checkpoint).*delete it"):
        store(tmp_path).load(1)


def test_another_network_is_refused(tmp_path: Path) -> None:
    store(tmp_path).save(checkpoint(1))
    with pytest.raises(InputError, match="is of another method or network.*w 4.*anil"):
        store(tmp_path, shapes="anil float32: w 5").load(1)
    with pytest.raises(InputError, match="there is no checkpoint"):
        store(tmp_path).load(2)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_half()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_one_sentence_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = store(tmp_path)
    kept.save(checkpoint(1))

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(DiskError, match=r"cannot write checkpoint .*No space left.*--resume"):
        kept.save(checkpoint(2))
    assert sorted(os.listdir(tmp_path)) == ["step-00000001.safetensors"]
