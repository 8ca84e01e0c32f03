"""``import metaray as mr`` as users have it: in a script, in a notebook, in a program with Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import metaray as mr

# The ten lines of the README, small: {data} and {out} are places, {workers} a number.
TEN_LINES = """
import metaray as mr

data = mr.datasets.Folder({data!r}, image_size=16, cache={cache!r})
trainer = mr.Trainer(
    mr.MAML(mr.models.Conv4(width=4), inner_lr=0.4),
    data,
    ways=3,
    shots=1,
    queries=2,
    workers={workers},
    settings={{
        "task.train_queries": 2,
        "evaluate.num_episodes": 4,
        "train.meta_batch_size": 2,
    }},
)
run = trainer.fit(outer_steps=2, validate_every=0, out={out!r})
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 20 classes with 6 images each."""
    import numpy as np
    from PIL import Image

    root, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for label in range(20):
        folder = root / f"class{label:02d}"
        folder.mkdir()
        for number in range(6):
            pixels = random.integers(0, 255, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def _code(images: Path, cache: Path, out: Path, workers: int) -> str:
    return TEN_LINES.format(data=str(images), cache=str(cache), out=str(out), workers=workers)


def _script(code: str, folder: Path, environment: dict[str, str]) -> str:
    file = folder / "script.py"
    file.write_text(code)
    done = subprocess.run(
        [sys.executable, file], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.ray
@pytest.mark.slow  # test_python_pages.py runs those of the README
def test_the_ten_lines_are_a_script(
    images: Path, cache: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    code = _code(images, cache, tmp_path / "run", workers=1)
    code += "print(run.evaluate(episodes=6).accuracy)\n"
    output = _script(code, tmp_path, environment)
    assert float(output) == mr.load(tmp_path / "run").accuracy
    assert mr.load(tmp_path / "run").summary["num_episodes"] == 6


@pytest.mark.ray
@pytest.mark.slow  # test_python_pages.py has such a program
def test_a_ray_of_the_program_is_used_and_left_running(
    images: Path, cache: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    start = (
        "import ray\nray.init('local', num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
    )
    code = _code(images, cache, tmp_path / "run", workers=1)
    end = "print(ray.is_initialized(), ray.get(ray.put(1)), run.summary['workers'])\n"
    own_home = environment | {"HOME": str(tmp_path)}  # where Ray keeps the token that it makes
    output = _script(start + code + end, tmp_path, own_home)
    assert output.split() == ["True", "1", "1"]


def test_the_ten_lines_are_a_notebook(images: Path, cache: Path, tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.v4.new_notebook()
    sources = [
        _code(images, cache, tmp_path / "run", workers=0),
        "run",
        "run.plot()",
        "run.history",
    ]
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    training, result, curves, history = (cell.outputs for cell in notebook.cells)
    assert "step 2/2" in str(training)
    assert "<table" in result[0]["data"]["text/html"]
    assert "image/png" in curves[0]["data"]
    assert "loss" in history[0]["data"]["text/html"]
