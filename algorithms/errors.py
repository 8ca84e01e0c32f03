"""Errors that are told in one sentence: bad input, and a disk that takes no more."""

from __future__ import annotations

import errno
import re

# control characters, separators of lines, surrogates, and what turns the direction of text
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class InputError(ValueError):
    """Bad input from the user: a config, a data set, a checkpoint, a folder.

    The message is one sentence that says what was wrong, what was found and what to do.
    The command line prints it without a traceback and exits with code 2. It may quote what was
    found in files: characters that a terminal cannot show, or would obey, are escaped.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(in_one_line(str(message)))


class DiskError(RuntimeError):
    """A disk takes no more: it is full or read-only, or a quota is used up.

    The message says what to free and how to continue. The command line exits with code 1.
    """


def in_one_line(text: str) -> str:
    """``text`` without line breaks, control characters and surrogates, which are escaped.

    >>> print(in_one_line("caf\\udce9\\n"))
    caf\\udce9\\n
    """
    return _NOT_SHOWN.sub(lambda hit: hit.group().encode("unicode_escape").decode(), text)


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
