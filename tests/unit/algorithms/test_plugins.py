"""Methods from outside: by file, by module, by entry point."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from metaray.algorithms import plugins
from metaray.algorithms.errors import InputError
from metaray.algorithms.plugins import label_of, load, located
from metaray.algorithms.registry import METHODS

CONFIG = """
from metaray.algorithms.methods.method_section import MethodSection

class OwnConfig(MethodSection):
    implementation = "own_method:Own"
    my_key: float = 1.0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a plug-in, which is forgotten afterwards."""
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_config", raising=False)
    (tmp_path / "own_config.py").write_text(CONFIG)
    return tmp_path


def test_a_name_means_a_file_beside_the_settings_or_in_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = f"{folder}/own_config.py:OwnConfig"
    assert located("own_config:OwnConfig", folder) == expected
    assert located("own_config.py:OwnConfig", folder) == expected
    assert located("own_config:OwnConfig") == "own_config:OwnConfig"
    monkeypatch.chdir(folder)
    assert located("own_config:OwnConfig") == expected
    assert located("/moved/own_config.py:OwnConfig") == expected
    assert located("maml") == "maml"
    assert label_of(expected) == "OwnConfig"


def test_a_folder_of_the_environment_comes_before_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugins.PLUGIN_PATH, str(folder))
    assert located("own_config:OwnConfig") == f"{folder}/own_config.py:OwnConfig"


def test_the_settings_of_a_file_are_validated_by_its_class(folder: Path) -> None:
    name = f"{folder}/own_config.py:OwnConfig"
    section = METHODS.validate({"name": name, "my_key": 3})
    assert section.model_dump() == {"name": name, "my_key": 3.0}
    assert type(section) in METHODS.known_classes()
    assert plugins.files() == [folder / "own_config.py"]


def test_another_process_finds_the_file_when_it_is_sent_a_section(folder: Path) -> None:
    section = METHODS.validate({"name": f"{folder}/own_config.py:OwnConfig", "my_key": 3})
    code = (
        "import pickle, sys; section = pickle.load(sys.stdin.buffer); "
        "print(section.my_key, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(section), capture_output=True, check=True
    )
    assert done.stdout.split() == [b"3.0", b"False"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mamll", "method.name = 'mamll' is not one of .*, did you mean maml?"),
        ("nowhere:Own", "there is no module nowhere, and no file nowhere.py beside the settings"),
        ("math:Own", "math has no Own"),
        ("own_config.py:OwnConfg", "own_config.py has no OwnConfg, did you mean OwnConfig?"),
        ("json.py:Own", "json is the name of another module: rename the file"),
        ("broken.py:Own", r"broken.py cannot be imported \(ZeroDivisionError"),
    ],
)
def test_mistakes_are_named(
    name: str, sentence: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "json.py").write_text("")
    (folder / "broken.py").write_text("1 / 0")
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=sentence):
        METHODS.validate({"name": name})


def test_a_package_offers_a_method_by_an_entry_point(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder)
    assert "own" not in set(METHODS)  # what is installed later is noticed
    info = folder / "own_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[metaray.methods]\nown = own_config:OwnConfig\nbroken = nowhere:Own\n"
    )
    assert {"own", "broken"} <= set(METHODS)
    assert METHODS.validate({"name": "own"}).model_dump() == {"name": "own", "my_key": 1.0}
    assert METHODS["own"] in METHODS.known_classes()
    with pytest.raises(InputError, match="broken of own-package cannot be loaded"):
        METHODS["broken"]


def test_a_section_made_in_python_has_the_name_of_its_class(folder: Path) -> None:
    own = load(f"{folder}/own_config.py:OwnConfig")(my_key=2)
    assert own.name == "own_config:OwnConfig"
    assert METHODS.validate(own.model_dump()) == own
