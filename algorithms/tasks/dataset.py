"""What a data set of images is to the catalog: how it is read, and how its classes are split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.data_sources import SourcesRecord
from metaray.algorithms.tasks.splits import Splits

if TYPE_CHECKING:
    from metaray.algorithms.tasks.source import EpisodeSource


class LazyClass(Protocol):
    """A class whose images are read when asked for. It can be pickled, and is small then."""

    @property
    def num_images(self) -> int:
        """Images that ``load`` will decode."""

    def load(self) -> ImageClass:
        """Read and decode; InputError when an image is missing or damaged."""


class RecordedClasses(list[LazyClass]):
    """The classes of a set together with the record of their sources."""

    def __init__(self, classes: Iterable[LazyClass], record: SourcesRecord) -> None:
        super().__init__(classes)
        self.record = record


class ClassLists(NamedTuple):
    """Names and groups of the classes of a prepared set, in the order of class ids."""

    names: Sequence[str]
    groups: Sequence[str]


class ImageDataset(ABC):
    """One entry of the catalog: raw data on disk, read once and kept prepared in the cache.

    Data that a program can give image by image needs less: see ``collection.ImageCollection``.

    Example: a folder with one PNG file for each class, in which the images stand side by side.

        >>> from contextlib import contextmanager
        >>> import numpy as np
        >>> from PIL import Image
        >>> from metaray.algorithms.tasks.splits import random_split
        >>> class Strip:
        ...     def __init__(self, path):
        ...         self.path = path
        ...         with Image.open(path) as image:
        ...             self.num_images = image.width // image.height
        ...
        ...     def load(self):
        ...         with Image.open(self.path) as image:
        ...             images = np.split(np.array(image), self.num_images, axis=1)
        ...         return ImageClass(self.path.stem, "", np.stack(images)[:, None])
        >>> class Strips(ImageDataset):
        ...     name = prepared_as = "strips"
        ...     description = "a strip of images for each class"
        ...     needs = "a folder with one PNG file for each class"
        ...     splits, settings = ("random",), ("root", "split_seed", "split_ratio")
        ...
        ...     def parameters(self, data):
        ...         return {"version": 1}
        ...
        ...     def raw_files(self, root, data):
        ...         return {path.name: path for path in root.glob("*.png")} or None
        ...
        ...     @contextmanager
        ...     def open_classes(self, root, data, scratch):
        ...         yield [Strip(path) for path in sorted(root.glob("*.png"))]
        ...
        ...     def split(self, classes, data):
        ...         return random_split(classes.names, data.split_seed, data.split_ratio)
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (60, 20)).save(Path(folder) / "plain.png")
        ...     with Strips().open_classes(Path(folder), DataConfig(), Path(folder)) as classes:
        ...         [(one.num_images, one.load().images.shape) for one in classes]
        [(3, (3, 1, 20, 20))]
    """

    name: ClassVar[str]
    description: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    """values of data.split that mean something; the first is the default"""
    settings: ClassVar[tuple[str, ...]]
    """settings of DataConfig that this set has beside name, cache, split and image_size"""
    needs: ClassVar[str] = ""
    """the raw data: where to get it and how it must lie below data.root; empty if none is needed"""
    prepared_as: ClassVar[str]
    """head of the name of prepared files; sets of the same images share theirs"""
    installed_at: ClassVar[tuple[str, ...]] = ()
    """folders where packages put the raw data: without data.root the first that exists is read"""
    is_users_own: ClassVar[bool] = False
    """the images are those at data.root: no prepared set replaces a missing one"""
    inverted: ClassVar[bool] = False
    """prepared images are negatives: light ink on a dark ground, where a drawing has the reverse"""
    holds: ClassVar[Literal["images", "vectors"]] = "images"
    """what its examples are"""
    published_images: ClassVar[bool] = False
    """the published split is taken as it is, even where two of its classes share an image"""

    @abstractmethod
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        """What determines the prepared pixels beside the raw data."""

    @abstractmethod
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        """The files of the raw data, whose content tells one copy of it from another.

        They are named by what decides classes and images, such as the path below ``root``. None
        when ``root`` does not hold the data; empty when there is no raw data.
        """

    def prepared_at(self, root: Path) -> Path | None:
        """A prepared file that lies at ``root`` and is used as it is; None where there is none."""
        return None

    def left_out(self, root: Path, data: DataConfig) -> list[str]:
        """Which files at ``root`` are not read, and why: a sentence for each reason."""
        return []

    @abstractmethod
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> AbstractContextManager[Sequence[LazyClass]]:
        """The classes in an order that no file system decides.

        ``RecordedClasses`` bring a record of what they were made of.
        ``scratch`` may be used for files (it may not exist yet); they go when the set is prepared.
        InputError when the raw data is missing or is not what it should be.
        """

    @abstractmethod
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        """Divide the classes; InputError when the rule does not fit them."""


class GeneratedTasks(NamedTuple):
    """An entry without images: its tasks are computed as they are used."""

    description: str
    build: Callable[[DataConfig], EpisodeSource]
    splits: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    needs: str = ""


def sinusoids() -> GeneratedTasks:
    """The entry of regression tasks."""
    return GeneratedTasks(
        "regression of y = A sin(w x - phase) from a few points (Finn et al. 2017)",
        _sinusoids,
        settings=("frequencies",),
    )


OMNIGLOT_RUNS_NEED = (
    "put all_runs.zip from https://github.com/brendenlake/omniglot (its folder "
    "python/one-shot-classification) into a folder and point data.root at it"
)


def omniglot_runs() -> GeneratedTasks:
    """The entry of the official one-shot test of Omniglot."""
    return GeneratedTasks(
        "the 20 runs of the one-shot test of Omniglot, for metaray evaluate (Lake et al. 2015)",
        _omniglot_runs,
        settings=("root", "image_size", "channels"),
        needs=OMNIGLOT_RUNS_NEED,
    )


def _omniglot_runs(data: DataConfig) -> EpisodeSource:
    from metaray.algorithms.tasks.omniglot_runs import open_runs  # imports torch

    return open_runs(data)


def _sinusoids(data: DataConfig) -> EpisodeSource:
    from metaray.algorithms.tasks.sinusoid import SinusoidEpisodes  # imports torch

    return SinusoidEpisodes(data.frequencies)


def missing(what: str, root: Path, needs: str) -> InputError:
    """The error for raw data that is not there: where to get it and where to put it."""
    found = "there is no such folder or file"
    if root.is_dir():
        names = ", ".join(sorted(p.name for p in root.iterdir())[:5])
        found = f"it holds {names}" if names else "it is empty"
    elif root.exists():
        found = "it is a file of another kind"
    return InputError(f"{root} does not hold {what} ({found}): {needs}")


def find_published(root: Path, folder: str, archive: str, files: Sequence[str]) -> Path | None:
    """Where a published set lies: the archive, or the folder that holds all ``files`` of it.

    ``root`` is either of them, or the folder that one of them is in. None when it is not there.
    """
    if root.name == archive and root.is_file():
        return root
    for place in (root, root / folder):
        if all((place / name).is_file() for name in files):
            return place
    return root / archive if (root / archive).is_file() else None


def published_files(place: Path | None, files: Sequence[str]) -> Mapping[str, Path] | None:
    """Of what ``find_published`` found: the archive, or ``files`` in the folder."""
    if place is None:
        return None
    return {"": place} if place.is_file() else {name: place / name for name in files}
