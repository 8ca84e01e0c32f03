"""Checkpoints are whole, verified, pruned, and never another network's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from metaray.algorithms.atomic import atomic_path
from metaray.algorithms.errors import DiskError, InputError
from metaray.platform.run.checkpoint import (
    Checkpoint,
    CheckpointStore,
    params_sha256,
)
from metaray.platform.run.directory import checkpoint_file, saved_steps
from metaray.platform.run.repair import repair


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
    with pytest.raises(InputError, match="(is damaged|is not a readable checkpoint).*--resume"):
        store(tmp_path).load(1)


def test_every_byte_counts(tmp_path: Path) -> None:
    """Step, best step, score and time are under a checksum too: each decides what follows."""
    path = store(tmp_path).save(checkpoint(1, best=1))
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InputError):
            store(tmp_path).load(1)


def test_a_file_from_before_the_second_checksum_opens(tmp_path: Path) -> None:
    path = store(tmp_path).save(checkpoint(1, best=1))
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["metaray"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del header["header_sha256"]
    save_file(tensors, path, {"metaray": json.dumps(header)})
    assert store(tmp_path).load(1).best_step == 1


def test_a_checkpoint_has_the_mode_of_all_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = store(tmp_path).save(checkpoint(1))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def damage(folder: Path, step: int) -> Path:
    path = checkpoint_file(folder, step)
    path.write_bytes(path.read_bytes()[:-3])
    return path


def test_the_one_before_is_taken_and_said_so(tmp_path: Path) -> None:
    notes: list[str] = []
    kept = CheckpointStore(tmp_path, "maml float32: w 4", 5, notes.append)
    for step in (1, 2, 3):
        kept.save(checkpoint(step))
    damage(tmp_path, 3)
    found = [kept.latest(), kept.latest()]
    assert [one.step if one else None for one in found] == [2, 2]
    assert len(notes) == 1
    assert "the checkpoint of step 2, the one before, is used" in notes[0]
    damage(tmp_path, 1)
    damage(tmp_path, 2)
    with pytest.raises(InputError, match="no other that is whole: restore it from a copy"):
        kept.latest()


def test_repair_sets_damaged_files_aside(tmp_path: Path) -> None:
    notes: list[str] = []
    for step in (1, 2, 3):
        store(tmp_path, keep=5).save(checkpoint(step))
    damage(tmp_path, 3)
    repair(tmp_path, notes.append)
    assert sorted(saved_steps(tmp_path)) == [1, 2]
    assert "step-00000003.safetensors.damaged; the run continues from step 2" in notes[0]
    repair(tmp_path, notes.append)
    assert len(notes) == 1


def test_a_lost_best_checkpoint_is_computed_again_from_the_one_before(tmp_path: Path) -> None:
    notes: list[str] = []
    for step in (1, 2, 3):
        store(tmp_path, keep=5).save(checkpoint(step, best=min(step, 2)))
    damage(tmp_path, 2)
    repair(tmp_path, notes.append)
    assert sorted(saved_steps(tmp_path)) == [1]
    assert "training goes back to step 1 and computes it again" in notes[1]


def test_without_one_before_the_best_is_chosen_anew(tmp_path: Path) -> None:
    notes: list[str] = []
    for step in (2, 3, 4):
        store(tmp_path, keep=5).save(checkpoint(step, best=2))
    damage(tmp_path, 2)
    repair(tmp_path, notes.append)
    latest = store(tmp_path).latest()
    assert latest is not None
    assert (latest.step, latest.best_step, latest.best_score) == (4, None, None)
    assert torch.equal(latest.tensors["params"], checkpoint(4).tensors["params"])
    assert "the best step is chosen among those from step 4 on" in notes[1]


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
