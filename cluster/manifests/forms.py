"""What a value of a manifest may look like, so that it is only a value in the text it lands in.

Names, images and addresses stand in scripts, in ``#SBATCH`` lines and in what Ray runs over SSH, so
they have a pattern. Paths and commands are any text of one line, and are quoted for the shell. YAML
is always written by yaml's own dump.
"""

from __future__ import annotations

import re
import shlex
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator, ValidationInfo

_USER = re.compile(r"://[^/\s]*@")
_OPTION = re.compile(r"://\S*[?&](?!(region|endpoint_override|scheme)=)[^=&\s]+=")


def _form(pattern: str, meaning: str) -> AfterValidator:
    def check(value: str, info: ValidationInfo) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(f"{info.field_name} = {value!r} is not {meaning}: correct it")
        return value

    return AfterValidator(check)


def _line(value: str, info: ValidationInfo) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError(
            f"{info.field_name} = {value!r} is not one line of text: remove line breaks and "
            "control characters"
        )
    if _USER.search(plain := unquote(value)) or _OPTION.search(plain):
        raise ValueError(
            f"{info.field_name} holds a password or a key, or an option that no URI takes, which "
            "the manifest would show: leave it to the environment of the cluster (such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), a role or a secret"
        )
    return value


def _command(value: str, info: ValidationInfo) -> str:
    try:
        shlex.split(value)
    except ValueError as error:
        raise ValueError(
            f"{info.field_name} = {value!r} is not a command line ({error}): close the quotes, or "
            "remove the backslash at the end"
        ) from None
    return value


Line = Annotated[str, AfterValidator(_line)]
"""text of one line without credentials, to be quoted where it stands"""
Command = Annotated[Line, AfterValidator(_command)]
"""what a shell would split into words"""
Word = Annotated[str, _form(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "one word of letters and digits")]
Words = Annotated[
    str, _form(r"[A-Za-z0-9_][A-Za-z0-9_.,-]*", "the name of a partition, or several with commas")
]
Image = Annotated[
    str, _form(r"[A-Za-z0-9][A-Za-z0-9_./:@-]*", "the name of a container image, such as host/a:1")
]
Host = Annotated[str, _form(r"[A-Za-z0-9:][A-Za-z0-9.:-]*", "the name or address of a machine")]


def shell_path(path: str) -> str:
    """Quoted for the shell, but for a leading ``~``, which it expands."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)
