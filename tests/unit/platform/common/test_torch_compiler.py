"""A process that computes has no torch.compile, unless its program uses it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import torch
from torch.func import grad, vmap
from metaray.algorithms.eager_optimizers import Adam
from metaray.platform.common.torch_compiler import leave_compiler_out

leave_compiler_out()
def gradients():
    return vmap(grad(lambda x: (x**3).sum()))(torch.ones(2, 3)).tolist()
before = gradients()
param = torch.nn.Parameter(torch.ones(3))
param.grad = torch.ones(3)
Adam([param]).step()
assert "torch._dynamo" not in sys.modules
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item() == 2
assert torch._dynamo is sys.modules["torch._dynamo"]
assert gradients() == before == [[3.0, 3.0, 3.0]] * 2
"""


def test_gradients_and_steps_import_no_compiler_and_a_program_still_can() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
