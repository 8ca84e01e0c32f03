"""What docs/serving.md shows is asked of a server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import documented
import pytest
from small_servers import TOKEN, picture

import metaray as mr

PAGE = documented.DOCS / "serving.md"
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def _pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a1", "a2", "b1", "c1", "scan")):
        Path(f"{name}.png").write_bytes(picture(seed))


def shown(word: str, url: str) -> str:
    """The block with ``word``, for the server at ``url``."""
    (text,) = [block.text for block in documented.blocks(PAGE) if word in block.text]
    assert ADDRESS in text
    return str(text).replace(ADDRESS, url)


def test_the_python(url: str, client: mr.Client) -> None:
    code = shown("mr.Client(", url).replace('token="..."', f'token="{TOKEN}"')
    code = code.replace(", reject=True", "")  # the learner of these tests has no threshold
    exec(code, {})
    assert client.tasks() == []  # registered, asked, extended, deleted


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl(url: str, client: mr.Client) -> None:
    code = shown("curl -H", url).replace("?reject=true", "")
    done = subprocess.run(
        ["bash", "-ec", code],
        env={"PATH": "/usr/bin:/bin", "TOKEN": TOKEN, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made, end = json.JSONDecoder().raw_decode(done.stdout)
    predicted, _ = json.JSONDecoder().raw_decode(done.stdout[end:])
    assert made["classes"] == {"a": 1, "b": 1}
    assert [one["file"] for one in predicted["predictions"]] == ["scan.png"]
