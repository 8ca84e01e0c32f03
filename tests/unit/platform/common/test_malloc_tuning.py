"""Freed memory stays for the next tensor, and goes back between jobs."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import numpy, psutil
from metaray.platform.common.malloc_tuning import keep_freed_memory, return_freed_memory

def megabytes():
    return psutil.Process().memory_info().rss / 2**20

keep_freed_memory()
start = megabytes()
arrays = [numpy.ones(2**20) for _ in range(50)]  # 8 MB each
del arrays
print(megabytes() - start)
return_freed_memory()
print(megabytes() - start)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_memory_is_kept_until_it_is_returned() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    kept, returned = map(float, done.stdout.split())
    assert kept > 350
    assert returned < 100
