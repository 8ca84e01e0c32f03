"""The Python blocks of README.md and docs/python.md, in their order and with small budgets."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import documented  # type: ignore[import-not-found]
import pytest
from forks import run_program

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

# What stands in the pages, and what takes its place here
OMNIGLOT = 'mr.datasets.Omniglot("data/omniglot", split="vinyals")'
GLYPHS = "mr.datasets.Glyphs(num_classes=100, image_size=16)"
TESTED = 'settings={"evaluate.num_episodes": 4, "train.validate_episodes": 4}'
FEW = '"evaluate.num_episodes": 4, "train.validate_episodes": 4, "train.meta_batch_size": 2'
SMALL_JOB = 'model=mr.models.Conv4(width=4), settings={"train.batch_size": 16}'
README = {
    OMNIGLOT: GLYPHS,
    "width=64": "width=4",
    "ways=5, shots=1)": f"ways=5, shots=1, {TESTED})",
    "outer_steps=1000": "outer_steps=2, meta_batch_size=2, validate_every=0",
    "episodes=600": "episodes=4",
}
PYTHON = README | {
    "episodes=200": "episodes=4",
    "Glyphs(num_classes=100)": "Glyphs(num_classes=20, image_size=16)",
    "labels_per_class=5": "labels_per_class=5, image_size=16",
    " steps=200": f" steps=2, {SMALL_JOB}",
    "data, steps=1000, seeds=3": f"data, steps=2, seeds=1, curve_episodes=2, settings={{{FEW}}}",
    "mr.Choice((32, 64))": "mr.Choice((4, 8))",
    "num_trials=20": "num_trials=1",
    "num_trials=40": "num_trials=2",
    '{"train.outer_steps": 300}': f'{{"train.outer_steps": 2, {FEW}}}',
    '"train.steps": 200': '"train.steps": 2, "train.batch_size": 16',
}
ONE_RAY = """
import ray
from metaray.cluster.embedded_ray import without_helpers
with without_helpers():
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
"""
"""Comparisons and sweeps use the Ray of the program; each would start one of its own.

With one CPU, the trials of a sweep follow one another in one process.

Its plots are blank, as those of all processes of tests; those of the README's program are drawn.
"""
LEFT_RUNNING = """
assert ray.get(ray.put(1)) == 1
"""
PAGES = [("README.md", README), ("python.md", PYTHON)]


def _drawing(environment: dict[str, str]) -> dict[str, str]:
    """Without the folder that leaves plots blank."""
    return {name: value for name, value in environment.items() if name != "PYTHONPATH"}


@pytest.mark.parametrize(("page", "smaller"), PAGES, ids=[name for name, _ in PAGES])
def test_the_blocks_of_a_page_are_one_program(
    page: str, smaller: dict[str, str], environment: dict[str, str], tmp_path: Path
) -> None:
    (path,) = [one for one in documented.PAGES if one.name == page]
    blocks = [block for block in documented.blocks(path) if block.language == "python"]
    code = "\n".join(block.text for block in blocks)
    for large, small in smaller.items():
        assert large in code, f"{large} is no longer in {page}"
        code = code.replace(large, small)
    file = tmp_path / "page.py"
    file.write_text(ONE_RAY + code + LEFT_RUNNING if page == "python.md" else code)
    done = run_program(
        [sys.executable, file],
        (environment if page == "python.md" else _drawing(environment))
        | {"METARAY_CACHE": str(tmp_path / "cache"), "MPLBACKEND": "agg"}
        | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for line in code.splitlines():  # what a page says that is printed
        said = line.partition("print(error)  # ")[2]
        assert not said or said in done.stdout, done.stdout
