"""docs/extending.md: its files are written and its commands run; the example package is used."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]
from shared_ray import RAY

from metaray.algorithms import plugins

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = [pytest.mark.filterwarnings("default")]
TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
            for line in block.strip().splitlines()]  # fmt: skip
PACKAGE = TESTS / "plugin_package"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plug-ins of one test are none of the next."""
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the example package were installed."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    info = tmp_path / f"metaray_example-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for folder in (PACKAGE, tmp_path):
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")


@pytest.fixture
def ray_with_it(package: None) -> Iterator[None]:
    """A Ray whose processes find the package; other tests have no use for it."""
    RAY.end()
    yield
    RAY.end()


def short(cache: Path, *more: str) -> list[str]:
    return arguments([
        f"data.cache={cache}", "task.ways=3", "task.queries=2", "train.outer_steps=3",
        "train.meta_batch_size=2", "train.shard_size=1", "train.validate_every=3",
        "train.validate_episodes=2", "evaluate.num_episodes=2", "workers.count=0", *more,
    ])  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_page_run(line: str, here: Command, files: Path, cache: Path) -> None:
    words = shlex.split(line)[1:]
    few_glyphs = ("data.num_classes=200", "data.image_size=16") if "data.name" not in line else ()
    ways = 1 if "data.name=my_tasks:Lines" in words else 3
    quick = short(cache, *few_glyphs, f"task.ways={ways}") if words[0] == "train" else []
    done = here(*words, *quick)
    assert done.returncode == 0, done.stderr
    if words[0] == "settings":
        assert "divides the distances" in done.stdout
    else:
        config = json.loads((files / words[-1] / "config.json").read_text())
        for word in words:
            key, equals, value = word.partition("=")
            if equals:
                section, setting = key.split(".")
                file, colon, name = value.partition(":")
                expected = f"{files}/{file}.py:{name}" if colon else value
                assert str(config[section][setting]) == expected


def test_the_check_of_the_page_passes(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(files)
    monkeypatch.delitem(sys.modules, "my_method", raising=False)
    exec(FILES["check_method.py"], {})


PARTS = ("method.name=nearest", "data.name=bars", "model.name=tiny", "model.channels=4",
         "train.schedule=bend", "train.optimizer=signs")  # fmt: skip


@pytest.mark.usefixtures("package")
def test_a_package_offers_one_of_each(here: Command, tmp_path: Path) -> None:
    assert "nearest class mean with a temperature" in here("methods").stdout
    assert "Bars at an angle" in here("data", "list").stdout
    sets = short(tmp_path / "cache", *PARTS, "monitoring.callbacks=['steps']")
    done = here("train", "--out", "run", *sets, "--set", "method.temperature=2")
    assert done.returncode == 0, done.stderr
    assert summary_of(tmp_path / "run")["method"] == "nearest"
    assert (tmp_path / "run/steps.txt").read_text() == "1\n2\n3\n"
    wrong = here("train", *sets, "--set", "method.temperatur=2")
    assert "did you mean method.temperature?" in wrong.stderr
    job = arguments([
        f"data.cache={tmp_path}/cache", "data.name=bars", "model.name=tiny", "workers.count=0",
        "train.steps=2", "train.batch_size=8", "train.shard_size=4", "train.schedule=bend",
        "train.optimizer=signs", "job.smoothing=0.2",
    ])  # fmt: skip
    done = here("transfer", "smooth", "--out", "job", *job)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "job/config.json").read_text())["job"]["smoothing"] == 0.2


@pytest.mark.usefixtures("package")
def test_a_package_offers_tasks_without_images(here: Command, tmp_path: Path) -> None:
    sets = arguments([
        "data.name=lines", "data.noise=0", "task.shots=3", "train.outer_steps=2",
        "train.meta_batch_size=2", "train.validate_every=2", "train.validate_episodes=2",
        "evaluate.num_episodes=2", "workers.count=0",
    ])  # fmt: skip
    done = here("train", "--out", "run", *sets)
    assert done.returncode == 0, done.stderr
    summary = summary_of(tmp_path / "run")
    assert summary["accuracy"] is None
    assert summary["mse"] > 0
    assert "on lines: mean squared error" in done.stdout
    wrong = here("train", *sets, "--set", "model.name=conv4")
    networks = "mlp, mlp_norm, identity"
    assert f"lines has no images for conv4: set model.name to one of {networks}" in wrong.stderr


@pytest.mark.ray
@pytest.mark.usefixtures("package", "ray_with_it")
def test_a_worker_and_a_sweep_of_a_package(here: Command, tmp_path: Path) -> None:
    sets = short(tmp_path / "cache", *PARTS)
    alone = here("train", "--out", "alone", *sets)
    assert alone.returncode == 0, alone.stderr
    worker = arguments(["workers.count=1", "workers.cpus=0.5"])
    helped = here("train", "--out", "helped", *sets, *worker)
    assert helped.returncode == 0, helped.stderr
    digests = {summary_of(tmp_path / run)["params_sha256"] for run in ("alone", "helped")}
    assert len(digests) == 1
    swept = here("sweep", "--num-trials", 1, "--out", "swept", *sets)
    assert swept.returncode == 0, swept.stderr
    assert "method.temperature" in (tmp_path / "swept/space.toml").read_text()
