from __future__ import annotations

import errno
import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from metaray.algorithms.errors import DiskError, InputError
from metaray.platform.run.metrics_log import MetricsLog


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def write(path: Path, steps: int) -> None:
    with MetricsLog(path) as log:
        for step in range(1, steps + 1):
            log.append({"step": step, "loss": 1.0 / step})


def test_rows_come_back_as_they_went_in(path: Path) -> None:
    row = {"step": 1, "loss": 0.1 + 0.2, "tasks": 32, "val_accuracy": None}
    with MetricsLog(path) as log:
        log.append(row)
    assert MetricsLog.read(path) == [row]


def test_a_row_is_in_the_file_before_the_log_is_closed(path: Path) -> None:
    log = MetricsLog(path)
    log.append({"step": 1})
    assert MetricsLog.read(path) == [{"step": 1}]
    log.close()
    log.close()


def test_infinite_and_nan_become_null(path: Path) -> None:
    with MetricsLog(path) as log:
        log.append({"step": 1, "loss": float("nan"), "grad_norm": float("-inf"), "meta_lr": 0.5})
    assert json.loads(path.read_text()) == {
        "step": 1,
        "loss": None,
        "grad_norm": None,
        "meta_lr": 0.5,
    }


def test_opening_again_appends(path: Path) -> None:
    write(path, 2)
    with MetricsLog(path) as log:
        log.append({"step": 3})
    assert [row["step"] for row in MetricsLog.read(path)] == [1, 2, 3]


@pytest.mark.parametrize("torn", [b'{"step": 3, "lo', b'{"step": 3}', b"\0\0\0\0", b'{"st\n'])
def test_a_torn_last_line_is_left_out_and_written_over(path: Path, torn: bytes) -> None:
    write(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert [row["step"] for row in MetricsLog.read(path)] == [1, 2]
    with MetricsLog(path) as log:
        assert path.read_bytes() == whole
        log.append({"step": 3})
    assert [row["step"] for row in MetricsLog.read(path)] == [1, 2, 3]


def test_a_line_in_the_middle_that_is_no_row_is_an_error(path: Path) -> None:
    path.write_text('{"step": 1}\nwarning: disk slow\n{"step": 2}\n')
    with pytest.raises(InputError, match=r"line 2 of .*metrics\.jsonl is not a row"):
        MetricsLog.read(path)


def test_resuming_drops_later_rows_and_goes_on(path: Path) -> None:
    write(path, 5)
    kept = b"".join(path.read_bytes().splitlines(keepends=True)[:3])
    with MetricsLog(path) as log:
        log.truncate_after(3)
        assert path.read_bytes() == kept
        log.append({"step": 4, "again": True})
    assert [row["step"] for row in MetricsLog.read(path)] == [1, 2, 3, 4]
    assert MetricsLog.read(path)[-1]["again"]


def test_truncation_is_all_or_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, 5)
    before = path.read_bytes()
    log = MetricsLog(path)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(DiskError, match="No space left"):
            log.truncate_after(2)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    log.append({"step": 6})
    log.close()
    assert len(MetricsLog.read(path)) == 6


def test_a_full_disk_is_one_sentence_and_leaves_whole_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write
    log = MetricsLog(path)
    log.append({"step": 1})

    def write_a_part_then_fail(descriptor: int, data: Any) -> int:
        if len(data) > 5:
            return real_write(descriptor, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_a_part_then_fail)
        with pytest.raises(DiskError) as caught:
            log.append({"step": 2, "x": "y" * 2})
    message = str(caught.value)
    assert str(path) in message
    assert "No space left on device" in message
    assert "--resume" in message
    assert path.read_bytes() == b'{"step": 1}\n'
    log.append({"step": 2})
    log.close()
    assert len(MetricsLog.read(path)) == 2


def test_a_file_that_the_system_lets_grow_no_more(path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = MetricsLog(path)
    log.append({"step": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"cannot write the metrics .*: File too large; make"):
            log.append({"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.close()
    assert path.read_bytes() == b'{"step": 1}\n'


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        MetricsLog(tmp_path / "gone" / "metrics.jsonl")
    with pytest.raises(InputError, match="cannot read the metrics"):
        MetricsLog.read(tmp_path / "metrics.jsonl")


def test_the_disk_is_asked_at_most_once_a_second_and_on_sync(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, synced = [100.0], []
    monkeypatch.setattr("metaray.platform.run.metrics_log.time.monotonic", lambda: now[0])
    monkeypatch.setattr(os, "fsync", synced.append)
    log = MetricsLog(path)
    for step, at in enumerate((100.0, 100.4, 100.9, 101.1, 101.2, 102.0, 102.2), start=1):
        now[0] = at
        log.append({"step": step})
    assert len(synced) == 2  # at 101.1 and at 102.2
    log.sync()
    assert len(synced) == 3
    log.close()
    assert len(synced) == 4
