"""The rules of docs/architecture.md that a machine can hold."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / ".src" / "metaray"
FOLDERS = ("platform", "algorithms", "tune_spaces", "cluster")

MAY_IMPORT = {
    "platform": ("metaray.algorithms", "metaray.tune_spaces", "metaray.cluster"),
    "tune_spaces": ("metaray.algorithms.configs", "metaray.algorithms.errors"),
    "algorithms": (),
    "cluster": (
        "metaray.algorithms.atomic",
        "metaray.algorithms.configs",
        "metaray.algorithms.errors",
        "metaray.algorithms.paths",
    ),
}
ROOMS = (
    "common", "config", "run", "callbacks", "training", "distributed", "report", "inference",
    "experiment",
    "sweep", "compare", "serve", "jobs", "watch", "api", "cli",
)  # fmt: skip
"""The folders of platform/, from the ground up: each may import those before it."""
NEVER_IN_ALGORITHMS = {"ray", "optuna", "typer", "rich"}
OF_ONE_KIND = re.compile(
    r"metaray\.platform\.("
    r"(experiment|config|report)\.(meta|transfer)|training\.(meta|transfer)\b"
    r"|experiment\.(adaptation|example|other_data|references)\b"
    r"|experiment\.request\.T|report\.(page|record|results|curves|words)\b"
    r"|config\.commands\.evaluate_command)"
)
"""what belongs to meta-training or to transfer jobs alone"""
NEVER_FOR_HELP = {
    "torch", "torchvision", "ray", "optuna", "sklearn", "matplotlib", "numpy", "pydantic",
    "pyarrow", "scipy", "PIL", "yaml", "psutil", "safetensors", "pandas", "jinja2",
    "requests", "httpx",
}  # fmt: skip
OF_RUNS = (
    "metaray.platform.distributed.actors", "metaray.platform.distributed.ray_train_worker",
    "metaray.platform.experiment.meta_session", "metaray.platform.sweep.trial",
    "metaray.platform.compare.run_actor", "metaray.algorithms.transfer.finetune",
    "metaray.algorithms.transfer.distill",
)  # fmt: skip
"""What the processes of a run begin with."""
NOT_FOR_RUNS = {"torchvision", "matplotlib", "scipy.stats", "sklearn", "optuna"}

# Written so that this file does not hold what it forbids.
MACHINE_PATH = re.compile(r"(?<![\w.~}])/(root|work|home)/")
INDEX_ADDRESS = re.compile(
    "|".join(
        (
            r"--(extra-)?index" + "-url",  # the options and settings that take one
            r"--find" + "-links",
            r"index-url\s*=",
            r"registry\s*=\s*https?:",
            r"https?://\S+/simple\b",  # the path at which every Python index is served
        )
    )
)


def modules(folder: str) -> dict[str, Path]:
    """Each module below a folder of the repository, by its dotted name."""
    root = REPOSITORY / folder
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: str, package: str) -> Iterator[str]:
    """Dotted names that a module of ``package`` imports, wherever in the file it does so.

    ``from a import b`` counts as ``a.b``: b may be a module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = [*above, node.module or ""] if node.level else [node.module or ""]
            yield from (".".join([*filter(None, base), alias.name]) for alias in node.names)


def imported_by(folder: str) -> Iterator[tuple[str, str]]:
    """Pairs of a module and a name that it imports."""
    for name, path in modules(folder).items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for target in imports(path.read_text(encoding="utf-8"), f"metaray.{package}"):
            yield name, target


def within(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def repository_texts() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in sorted(filter(None, listed.stdout.split("\0"))):
        path = REPOSITORY / name
        if path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                yield name, content.decode("utf-8", errors="replace")


def run_python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_top_folder_has_code_and_no_init(folder: str) -> None:
    """With one, ``import platform`` from the repository root would find ours."""
    assert (REPOSITORY / folder).is_dir()
    assert not (REPOSITORY / folder / "__init__.py").exists()


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_package_links_to_the_folder(folder: str) -> None:
    staged = subprocess.run(
        ["git", "ls-files", "--stage", f".src/metaray/{folder}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert staged.stdout.startswith("120000 "), f"not committed as a symbolic link: {staged.stdout}"
    assert (PACKAGE / folder).readlink() == Path("..", "..", folder)
    assert (PACKAGE / folder).resolve() == REPOSITORY / folder


def test_the_package_holds_links_and_doors() -> None:
    """``metaray.sklearn`` is imported only by who has scikit-learn in mind."""
    assert {path.name for path in PACKAGE.iterdir()} - {"__pycache__"} == {
        "__init__.py",
        "__main__.py",
        "py.typed",
        "sklearn.py",
        *FOLDERS,
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_module_is_named_like_a_standard_one(folder: str) -> None:
    clashes = [
        name
        for name in modules(folder)
        if not sys.stdlib_module_names.isdisjoint(name.split(".")[1:])
    ]
    assert clashes == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_point_one_way(folder: str) -> None:
    allowed = (f"metaray.{folder}", "metaray.__version__", *MAY_IMPORT[folder])
    wrong = [
        f"{name} imports {target}"
        for name, target in imported_by(folder)
        if target.startswith("metaray.") and not within(target, allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ["compare", "sweep", "jobs"])
def test_rooms_of_many_runs_know_no_kind_by_name(room: str) -> None:
    """They speak ``Experiment``, so that a third kind of run needs no change in them."""
    wrong = [
        f"{name} imports {target}"
        for name, target in imported_by("platform")
        if within(name, (f"platform.{room}",)) and OF_ONE_KIND.match(target)
    ]
    assert wrong == []


def test_what_is_of_one_kind_is_found() -> None:
    platform = "metaray.platform"
    for target in (
        "experiment.meta.META", "experiment.meta_session.MetaSession", "experiment.transfer",
        "training.meta.blueprint.Blueprint", "training.transfer.step", "config.meta.RunConfig",
        "config.transfer.TransferConfig", "report.record.RunRecord",
        "experiment.request.TrainRequest", "experiment.adaptation.adaptation_time",
    ):  # fmt: skip
        assert OF_ONE_KIND.match(f"{platform}.{target}"), target
    for target in (
        "experiment.base.Experiment", "experiment.request.RunRequest", "training.loop",
        "config.schema.ExperimentConfig", "config.commands.settings_for", "report.page_writer.Plot",
        "experiment.comparison.Comparable",
    ):  # fmt: skip
        assert not OF_ONE_KIND.match(f"{platform}.{target}"), target


def test_the_root_of_platform_holds_rooms_alone() -> None:
    names = {path.name for path in (REPOSITORY / "platform").iterdir()} - {"__pycache__"}
    assert names <= set(ROOMS)


def test_rooms_of_platform_import_downwards() -> None:
    """Then there is no cycle between two of them, and no library room needs the command line."""
    wrong = []
    for name, target in imported_by("platform"):
        here, there = room_of(f"metaray.{name}"), room_of(target)
        if there is not None and here is not None and ROOMS.index(there) > ROOMS.index(here):
            wrong.append(f"{name} imports {target}")
    assert wrong == []


def room_of(name: str) -> str | None:
    """The room of a dotted name, or None where it is not in platform/."""
    parts = name.split(".")
    return parts[2] if parts[:2] == ["metaray", "platform"] and len(parts) > 2 else None


def test_algorithms_know_no_cluster_and_no_terminal() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, target in imported_by("algorithms")
        if target.split(".")[0] in NEVER_IN_ALGORITHMS
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", [*FOLDERS, "tests", "benchmarks"])
def test_our_modules_are_imported_by_their_full_name(folder: str) -> None:
    """``algorithms.maml`` and ``metaray.algorithms.methods.maml`` would be two module objects."""
    of_platform = {".".join(name.split(".")[:2]) for name in modules("platform")}
    wrong = [
        f"{name} imports {target}"
        for name, target in imported_by(folder)
        if within(target, ("algorithms", "tune_spaces", "cluster", *of_platform))
    ]
    assert wrong == []


def test_the_reader_of_imports_sees_every_form() -> None:
    source = """
import ray.util as u, os
from metaray.algorithms import configs
from . import sibling
from ..reduce import total
def late():
    from ...cluster.submit import submit
"""
    assert list(imports(source, "metaray.platform.jobs")) == [
        "ray.util",
        "os",
        "metaray.algorithms.configs",
        "metaray.platform.jobs.sibling",
        "metaray.platform.reduce.total",
        "metaray.cluster.submit.submit",
    ]


def test_every_folder_is_read() -> None:
    assert {"algorithms.configs", "algorithms.models"} <= modules("algorithms").keys()
    assert ("tune_spaces.registry", "metaray.tune_spaces.maml") in set(imported_by("tune_spaces"))


def test_the_standard_platform_module_wins_in_the_repository_root() -> None:
    code = "import platform; print(platform.__file__); platform.system(); import uuid"
    done = run_python("-c", code, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == Path(sysconfig.get_path("stdlib"))


@pytest.mark.parametrize("word", ["--help", "version"])
def test_help_and_version_load_nothing_heavy(word: str, tmp_path: Path) -> None:
    """They are to answer at once."""
    done = run_python("-X", "importtime", "-m", "metaray", word, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "metaray" in loaded
    own = NEVER_FOR_HELP if word == "--help" else NEVER_FOR_HELP - {"pydantic"}  # typer runs it
    assert loaded.isdisjoint(own), loaded & own


def test_processes_of_a_run_start_without_what_few_need(tmp_path: Path) -> None:
    """Each takes seconds to import, in every process of a run."""
    code = f"import sys, {', '.join(OF_RUNS)}; print(*{NOT_FOR_RUNS} & sys.modules.keys())"
    done = run_python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == []


@pytest.mark.parametrize("forbidden", [MACHINE_PATH, INDEX_ADDRESS], ids=["path", "index"])
def test_no_file_depends_on_one_machine(forbidden: re.Pattern[str]) -> None:
    found = [
        f"{name}: {hit.group()}"
        for name, text in repository_texts()
        if (hit := forbidden.search(text)) is not None
    ]
    assert found == []


def test_the_patterns_find_what_they_forbid() -> None:
    for folder in ("root", "work", "home"):
        assert MACHINE_PATH.search(f'cache = "/{folder}/somebody"')
    assert not MACHINE_PATH.search("see ../work/notes and ~/home/x and docs/root/page")
    assert INDEX_ADDRESS.search("https://packages.example" + "/simple/torch")
    assert INDEX_ADDRESS.search("pip install --index" + "-url somewhere")
    assert not INDEX_ADDRESS.search("https://arxiv.org/abs/1703.03400")
