"""How the command line ends: what it says, and its exit code."""

from __future__ import annotations

import errno

import pytest

from metaray.algorithms.errors import DiskError, InputError, write_error
from metaray.platform.cli import main


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InputError("bad"), 2, "metaray: bad\n"),
        (DiskError("cannot write a checkpoint"), 1, "metaray: cannot write a checkpoint\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a/config.json"),
            1,
            "metaray: cannot write runs/a/config.json: No space left on device; make room or make "
            "it writable, then run the command again, with --resume where a run has begun\n",
        ),
    ],
)
def test_a_failure_is_a_sentence_and_a_code(
    error: Exception,
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as caught:
        main.run()
    assert caught.value.code == code
    assert capsys.readouterr().err == sentence


def test_an_error_of_the_system_that_is_a_bug_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(OSError, match="Bad file descriptor"):
        main.run()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_a_disk_that_takes_no_more_is_no_bad_input(number: int) -> None:
    assert isinstance(write_error("x", OSError(number, "full"), "free space"), DiskError)
    assert isinstance(write_error("x", OSError(errno.EACCES, "denied"), "chmod"), InputError)
