"""Errors that are told in one sentence: bad input, and a disk that takes no more."""

from __future__ import annotations

import errno

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class InputError(ValueError):
    """Bad input from the user: a config, a data set, a checkpoint, a folder.

    The message is one sentence that says what was wrong, what was found and what to do.
    The command line prints it without a traceback and exits with code 2.
    """


class DiskError(RuntimeError):
    """A disk takes no more: it is full or read-only, or a quota is used up.

    The message says what to free and how to go on. The command line exits with code 1.
    """


def is_of_disk(error: OSError) -> bool:
    """Whether the disk is at fault, not the path that was given."""
    return error.errno in _DISK


def write_error(what: str, error: OSError, remedy: str) -> InputError | DiskError:
    """The error to raise where a file cannot be written.

    Args:
        what: what is written, and where.
        error: why it cannot be.
        remedy: what to do.

    >>> write_error("the report in runs/a", OSError(28, "No space left on device"), "free space")
    DiskError('cannot write the report in runs/a: No space left on device; free space')
    """
    kind = DiskError if is_of_disk(error) else InputError
    return kind(f"cannot write {what}: {error.strerror or error}; {remedy}")
