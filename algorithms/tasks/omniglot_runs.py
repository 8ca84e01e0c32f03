"""The one-shot classification task of Omniglot, in its official 20 runs (Lake et al. 2015).

A run shows one drawing of each of 20 characters of one alphabet, and asks which of them each of 20
drawings by another person is. The score is the mean over the 20 runs. The archive ``all_runs.zip``
holds, for each run, the drawings to learn from, those to classify, and the answers::

    run01/training/class01.png ...    run01/test/item01.png ...    run01/class_labels.txt

A line of ``class_labels.txt`` names a drawing to classify and the one of its class. The characters
are of the evaluation alphabets, so a network must be trained on background alphabets alone.

Drawings are prepared as those of ``omniglot``. Runs are the same for every seed.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode import Episode
from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, Split, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.algorithms.reading import decoded, refusing_damage
from metaray.algorithms.tasks.channels import converted
from metaray.algorithms.tasks.content import Images
from metaray.algorithms.tasks.dataset import OMNIGLOT_RUNS_NEED, missing
from metaray.algorithms.tasks.duplicates import digests
from metaray.algorithms.tasks.file_tree import FileTree, FolderTree, ZipTree
from metaray.algorithms.tasks.image_episodes import unit_range
from metaray.algorithms.tasks.limits import ReadLimits
from metaray.algorithms.tasks.omniglot import decoded_drawing

NUM_RUNS = 20
_ARCHIVE = "all_runs.zip"
_FETCH = "fetch all_runs.zip again"
_LABELS = re.compile(r"((?:.*/)?)(run\d\d)/class_labels\.txt")


class Run(NamedTuple):
    """One run: N classes, of which each has a drawing to learn from and one to classify."""

    name: str
    training: Images  # [N, 1, size, size]
    test: Images  # [N, 1, size, size]
    answers: NDArray[np.int64]
    """the class of each drawing to classify, by its place in ``training``, ``[N]``"""
    class_names: list[str]


@dataclass(frozen=True)
class OmniglotRuns:
    """The runs as test episodes: the episode of index i is run i + 1."""

    runs: tuple[Run, ...]
    channels: Literal[1, 3] = 1

    @property
    def kind(self) -> Literal["classification"]:
        """Labels are classes."""
        return "classification"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        height, width = self.runs[0].training.shape[-2:]
        return self.channels, height, width

    @property
    def content_sha256(self) -> str:
        """Of all drawings and answers."""
        found = hashlib.sha256()
        for run in self.runs:
            for part in (run.training, run.test, run.answers):
                found.update(part.tobytes())
        return found.hexdigest()

    @property
    def digests(self) -> NDArray[np.uint64]:
        """Of all drawings, as ``duplicates.image_digests``."""
        return digests(drawing for run in self.runs for part in run[1:3] for drawing in part)

    def check(self, split: Split, shape: EpisodeShape) -> None:
        """Raise InputError for other episodes than the runs."""
        if split != "test":
            raise InputError(
                "omniglot_runs is a test alone: train on data.name = omniglot, and name it for "
                "metaray evaluate"
            )
        ways = len(self.runs[0].training)
        if (shape.ways, shape.shots, shape.queries) != (ways, 1, 1):
            raise InputError(
                f"a run of omniglot_runs has {ways} classes with one drawing of each and asks for "
                f"one more: set task.ways = {ways}, task.shots = 1 and task.queries = 1"
            )

    def sample(self, spec: TaskSpec) -> Episode:
        """The run of ``spec.index``; the seed decides nothing."""
        self.check(spec.split, spec.shape)
        if spec.index >= len(self.runs):
            raise InputError(
                f"there are {len(self.runs)} runs and no more: set evaluate.num_episodes = "
                f"{len(self.runs)}"
            )
        run = self.runs[spec.index]
        support, query = (
            converted(unit_range(part), self.channels) for part in (run.training, run.test)
        )
        labels = torch.arange(len(support))
        key = torch.tensor(spec.index, dtype=torch.int64)
        return Episode(support, labels, query, torch.from_numpy(run.answers), key)

    def num_classes(self, split: Split) -> int:
        """None for training and validation; the runs do not say which characters they share."""
        return sum(len(run.training) for run in self.runs) if split == "test" else 0

    def sample_batch(self, spec: BatchSpec) -> Episode:
        """Raise InputError: there is nothing to train on."""
        raise InputError("omniglot_runs is a test alone: train on data.name = omniglot")

    def describe(self, spec: TaskSpec) -> list[str]:
        """The drawing behind each label."""
        self.check(spec.split, spec.shape)
        return self.runs[spec.index].class_names


def open_runs(data: DataConfig) -> OmniglotRuns:
    """The runs at ``data.root``: the archive, its folder, or the folder that either is in.

    Raises:
        InputError: they are not there, not all of them, or damaged.
    """
    if data.root is None:
        raise InputError(f"data.root is not set: {OMNIGLOT_RUNS_NEED}")
    with closing(_open_tree(user_path(data.root))) as files:
        names = set(files.names())
        found = sorted(
            (match[2], match[1]) for name in names if (match := _LABELS.fullmatch(name)) is not None
        )
        if [run for run, _ in found] != [f"run{number:02d}" for number in range(1, NUM_RUNS + 1)]:
            raise InputError(
                f"{data.root} holds {len(found)} folders runNN with class_labels.txt, not run01 to "
                f"run{NUM_RUNS}: {OMNIGLOT_RUNS_NEED}"
            )
        runs = tuple(_read(files, names, above, run, data.image_size) for run, above in found)
    if len({len(run.training) for run in runs}) > 1:
        raise InputError(f"the runs at {data.root} differ in their number of classes: {_FETCH}")
    return OmniglotRuns(runs, data.channels or 1)


def _open_tree(root: Path) -> FileTree:
    folders = [folder for folder in (root, root / "all_runs") if (folder / "run01").is_dir()]
    if folders:
        return FolderTree(folders[0])
    archive = root if root.is_file() else root / _ARCHIVE
    if not archive.is_file():
        raise missing("the runs of Omniglot", root, OMNIGLOT_RUNS_NEED)
    return ZipTree(archive)


def _read(files: FileTree, names: set[str], above: str, run: str, image_size: int) -> Run:
    place = f"{above}{run}/class_labels.txt"
    with refusing_damage(f"{place} is not text", _FETCH):
        lines = decoded(files.read(place)).splitlines()
    pairs = [tuple(line.split()) for line in lines if line.strip()]
    tests, trainings = ({pair[i] for pair in pairs if len(pair) == 2} for i in range(2))
    if not pairs or len(tests) != len(pairs) or len(trainings) != len(pairs):
        raise InputError(
            f"{place} does not name a drawing and the one of its class in each line, each once: "
            f"{_FETCH}"
        )
    lost = sorted(name for name in tests | trainings if f"{above}{name}" not in names)
    if lost:
        raise InputError(f"{place} names {lost[0][:80]}, which is not there: {_FETCH}")
    answer_of = {pair[0]: pair[1] for pair in pairs}
    learned, asked = sorted(trainings), sorted(tests)
    limits = ReadLimits.from_environment()

    def drawings(paths: list[str]) -> Images:
        return np.stack(
            [
                decoded_drawing(files.read(f"{above}{name}"), name, limits, image_size, _FETCH)
                for name in paths
            ]
        )

    return Run(
        name=run,
        training=drawings(learned),
        test=drawings(asked),
        answers=np.array([learned.index(answer_of[name]) for name in asked]),
        class_names=[Path(name).stem for name in learned],
    )
