"""Which machine this is, as far as process ids go: a container has ids that others do not see."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path


@cache
def host_id() -> str:
    """Equal for two processes where each can see whether the other lives."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # not Linux: the name is what there is
        return socket.gethostname()
    return f"{socket.gethostname()} {boot} {namespace}"
