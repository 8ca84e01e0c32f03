"""The token of a server, in a file of the user or of the server."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path

_LEAST = 16


def given_token(path: Path | None, no_token: bool | None) -> str | None:
    """The token in the file ``path``; None where there is no such option.

    Raises:
        InputError: it cannot be read or is too short, or no token is wanted.
    """
    if path is None:
        return None
    if no_token:
        raise InputError("--token-file and --no-token exclude each other: leave one of them out")
    try:
        token = user_path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it holds other characters than ASCII"
        raise InputError(f"cannot read the token in {path} ({why}): check --token-file") from error
    if len(token) < _LEAST or not token.isprintable() or " " in token:
        raise InputError(
            f"the token in {path} must be one word of {_LEAST} characters or more: for example the "
            "output of openssl rand -hex 32"
        )
    return token


def made_token(folder: Path) -> str:
    """The token of the server in ``folder``: the one that it had, or a new one."""
    file = folder / "token"
    token = file.read_text(encoding="ascii").strip() if file.is_file() else ""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        os.fchmod(descriptor, 0o600)
        token = token or secrets.token_urlsafe(32)
        opened.truncate()
        opened.write(token + "\n")
    return token
