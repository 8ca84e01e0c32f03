"""What a job finds in its working folder: the command to run, and the files that came with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from metaray.algorithms.paths import user_path
from metaray.algorithms.reading import read_object, refusing_damage

FOLDER = "job:folder"
"""the word that stands for the job's run directory"""
FILES = "job:files/"
"""what stands before the name of a file that came with the job"""
_NAME = "job.json"


@dataclass(frozen=True)
class JobSpec:
    """A command line of ``metaray``, with what its words mean on the cluster."""

    words: tuple[str, ...]
    """what follows ``metaray``"""
    folder: str
    """the run directory on the cluster; it may begin with ``~``"""
    directory: str | None
    """where the command was given, if that was on the cluster: relative paths begin there"""

    def write(self, folder: Path) -> None:
        """Put it beside the files that go with the job."""
        (folder / _NAME).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> JobSpec:
        """The one in a job's working folder.

        Raises:
            InputError: it is damaged.
        """
        path = folder / _NAME
        problem, remedy = f"{path} does not say what the job computes", "submit the job again"
        tree = read_object(path, problem, remedy)
        with refusing_damage(problem, remedy):
            return TypeAdapter(cls).validate_python(tree)

    def arguments(self, files: Path) -> list[str]:
        """The words as this machine understands them; ``files`` is the job's working folder."""
        folder = str(user_path(self.folder))
        return [
            folder if word == FOLDER
            else str(files / word.removeprefix(FILES)) if word.startswith(FILES)
            else word
            for word in self.words
        ]  # fmt: skip
