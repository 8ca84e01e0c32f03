"""Runs that are kept elsewhere: on a disk by its URI, and on a server that speaks S3."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.run.directory import fresh_place
from metaray.platform.run.storage.mirror import Mirror
from metaray.platform.run.storage.remote_directory import RemoteDirectory, StorageError
from metaray.platform.run.storage.working_copy import existing_run, new_run, shared_folder


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Messages; local copies go to a folder of the test."""
    monkeypatch.setenv("METARAY_CACHE", str(tmp_path / "cache"))
    return []


@pytest.fixture(params=["file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    return f"file://{tmp_path}/there"


def put(folder: Path, **files: str) -> None:
    """Files as a run writes them: ``checkpoint_N`` is that of step N."""
    for name, text in files.items():
        path = folder / {"metrics": "metrics.jsonl", "config": "config.json"}.get(name, name)
        if name.startswith("checkpoint_"):
            path = folder / "checkpoints" / f"step-{int(name[11:]):08d}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def checkpoint(step: int) -> str:
    return f"checkpoints/step-{step:08d}.safetensors"


def test_a_new_run_ends_up_there_and_leaves_nothing_here(root: str, notes: list[str]) -> None:
    with new_run(f"{root}/a", notes.append) as kept:
        put(kept.folder, config="{}", metrics="1\n", checkpoint_1="one")
        folder = kept.folder
    assert RemoteDirectory.open(f"{root}/a").files() == {
        "config.json": 2, "metrics.jsonl": 2, checkpoint(1): 3,
    }  # fmt: skip
    assert not any(folder.parent.iterdir())


def test_a_run_comes_home_and_what_changed_goes_back(root: str, notes: list[str]) -> None:
    with new_run(f"{root}/a", notes.append) as kept:
        put(kept.folder, config="{}", metrics="1\n", checkpoint_1="one", checkpoint_2="two")
    with existing_run(f"{root}/a", notes.append) as kept:
        assert (kept.folder / checkpoint(2)).read_text() == "two"
        put(kept.folder, checkpoint_3="three")
        (kept.folder / checkpoint(1)).unlink()
    names = set(RemoteDirectory.open(f"{root}/a").files())
    assert names == {"config.json", "metrics.jsonl", checkpoint(2), checkpoint(3)}


def test_a_run_that_fails_is_sent_and_is_called_by_its_uri(root: str, notes: list[str]) -> None:
    def stopped() -> None:
        with new_run(f"{root}/a", notes.append) as kept:
            put(kept.folder, config="{}", checkpoint_1="one")
            raise InputError(f"stopped: continue with --resume {kept.folder}")

    with pytest.raises(InputError, match=f"continue with --resume {root}/a$"):
        stopped()
    assert checkpoint(1) in RemoteDirectory.open(f"{root}/a").files()


def test_a_copy_that_was_never_sent_is_taken_up(tmp_path: Path, notes: list[str]) -> None:
    uri = f"file://{tmp_path}/there/a"
    with new_run(uri, notes.append) as kept:
        put(kept.folder, config="{}", checkpoint_1="one")
        folder = kept.folder
    put(folder, config="{}", checkpoint_1="one", checkpoint_2="two")  # as left by a power cut
    with existing_run(uri, notes.append) as kept:
        assert (kept.folder / checkpoint(2)).exists()
    place = RemoteDirectory.open(uri)
    assert checkpoint(2) in place.files()
    assert "ahead" in notes[0]
    for name in place.files():
        place.delete(name)
    put(folder, config="{}")  # as left by one that had no checkpoint yet
    with existing_run(uri, notes.append):
        pass
    assert set(place.files()) == {"config.json"}


def test_a_taken_place_is_refused(root: str, notes: list[str]) -> None:
    with new_run(f"{root}/a", notes.append) as kept:
        put(kept.folder, config="{}")
    with pytest.raises(InputError, match="already holds a run"), new_run(f"{root}/a", print):
        pass
    with pytest.raises(InputError, match="is not empty"), new_run(root, print):
        pass


class Recorder(RemoteDirectory):
    """A place that notes the order of what happens, and may be out of order."""

    log: list[str]
    broken: bool

    @classmethod
    def on(cls, folder: Path) -> Recorder:
        place = RemoteDirectory.open(f"file://{folder}")
        recorder = cls(place.uri, place.filesystem, place.root)
        object.__setattr__(recorder, "log", [])
        object.__setattr__(recorder, "broken", False)
        return recorder

    def write(self, name: str, content: bytes) -> None:
        if self.broken:
            raise StorageError("cannot use it")
        self.log.append(name)
        super().write(name, content)

    def delete(self, name: str) -> None:
        self.log.append(f"- {name}")
        super().delete(name)


def finished_in_order(folder: Path, *names: str) -> None:
    for second, name in enumerate(names):
        os.utime(folder / name, (second, second))


def test_the_copy_can_be_resumed_at_any_moment(tmp_path: Path) -> None:
    """The log covers the checkpoints, the config comes last, and nothing goes before its heir."""
    here, there = tmp_path / "here", Recorder.on(tmp_path / "there")
    put(here, config="{}", **{"summary.json": "{}"}, metrics="2\n", checkpoint_9="9")
    put(here, checkpoint_10="10", **{".config.json.7.tmp": "{"})
    order = ("config.json", checkpoint(9), checkpoint(10), "summary.json", "metrics.jsonl")
    finished_in_order(here, *order)
    mirror = Mirror(here, there, print, in_step=False)
    assert mirror.send_changes()
    wanted = ["metrics.jsonl", checkpoint(9), checkpoint(10), "summary.json", "config.json"]
    assert there.log == wanted
    there.log.clear()
    (here / checkpoint(9)).unlink()
    put(here, checkpoint_11="11")
    assert mirror.send_changes()
    assert there.log == [checkpoint(11), f"- {checkpoint(9)}"]


def test_what_could_not_be_sent_is_sent_later(tmp_path: Path) -> None:
    here, there = tmp_path / "here", Recorder.on(tmp_path / "there")
    put(here, config="{}", metrics="2\n")
    notes: list[str] = []
    object.__setattr__(there, "broken", True)
    mirror = Mirror(here, there, notes.append, in_step=False, every_s=0.02)
    mirror.start()
    while not notes:
        pass
    object.__setattr__(there, "broken", False)
    mirror.finish()
    assert set(there.files()) == {"config.json", "metrics.jsonl"}
    assert len(notes) == 1  # and not one for each try


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ftp://host/run", "in no storage that metaray knows"),
        ("s3://key:secret@lab/run", "a s3 URI with a user or password would be shown"),
        ("s3://", "names no folder"),
        ("file://runs/first", "names no folder"),
        ("s3://lab/run?access_key=x", "access_key cannot be said in the URI"),
        ("s3://no-such-bucket/run", "there is no bucket no-such-bucket"),
    ],
)
def test_a_bad_uri_gets_a_sentence(s3: str, uri: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        RemoteDirectory.open(uri)
    assert "secret" not in str(caught.value)


def test_no_network_gets_a_sentence(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be reached: check the network"):
        RemoteDirectory.open(s3)


def test_no_permission_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = RemoteDirectory.open(f"file://{tmp_path}/there")
    denied = OSError("When uploading: AWS Error ACCESS_DENIED during PutObject operation")

    class Denying:
        type_name = "s3"

        def open_output_stream(self, path: str) -> None:
            raise denied

    with pytest.raises(InputError, match="these credentials may not do that"):
        RemoteDirectory(place.uri, Denying(), place.root).check_writable()


def test_new_runs_go_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METARAY_RUNS", raising=False)
    assert fresh_place("maml-glyphs").startswith("runs/maml-glyphs-")
    monkeypatch.setenv("METARAY_RUNS", "s3://lab/runs/")
    assert fresh_place("maml-glyphs").startswith("s3://lab/runs/maml-glyphs-")


def test_a_sweep_or_comparison_needs_a_folder() -> None:
    with pytest.raises(InputError, match="a sweep is written to by all its runs at once"):
        shared_folder("s3://lab/sweep", "a sweep")


def test_a_place_that_gives_no_answer_does_not_hold_up_the_end(
    tmp_path: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a disk of another machine whose network is gone: a write never returns."""
    asked, release = Event(), Event()

    class Silent(RemoteDirectory):
        def write(self, name: str, content: bytes) -> None:
            asked.set()
            release.wait()

    monkeypatch.setattr("metaray.platform.run.storage.mirror._LAST_PASS_S", 0.3)
    put(tmp_path / "run", config="{}")
    there = RemoteDirectory.open(f"file://{tmp_path}/there")
    place = Silent(there.uri, there.filesystem, there.root)
    mirror = Mirror(tmp_path / "run", place, notes.append, in_step=False, every_s=0.01)
    mirror.start()
    assert asked.wait(10)
    with pytest.raises(StorageError, match=r"gave no answer for 0\.3 s"):
        mirror.finish()
    release.set()
