"""Data sets: ``mr.datasets.Omniglot("data/omniglot", split="vinyals")``.

The first argument says where the raw data is (`metaray data list` says what each set needs).

>>> Glyphs(num_classes=500)
Dataset('glyphs', num_classes=500)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, Protocol, cast, overload

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.transfer.domain_config import DomainConfig
from metaray.platform.api.parts import Keywords, Part

P = ParamSpec("P")
Q = ParamSpec("Q")

_ROOT = {"root": "folder or file with the raw data"}


class Dataset(Part):
    """A data set by name: ``Dataset("folder", root="photos")`` is ``Folder("photos")``."""


class DatasetBuilder(Protocol[P, Q]):
    """A function that takes the settings of a data set and returns a ``Dataset``.

    Meta-training and transfer jobs share most settings; each refuses those of the other.
    """

    @overload
    def __call__(
        self, root: str | Path | None = None, /, *args: P.args, **settings: P.kwargs
    ) -> Dataset: ...

    @overload
    def __call__(
        self, root: str | Path | None = None, /, *args: Q.args, **settings: Q.kwargs
    ) -> Dataset: ...


def _builder(
    config: Callable[P, DataConfig], domain: Callable[Q, DomainConfig]
) -> Callable[[str, str, str], DatasetBuilder[P, Q]]:
    keywords = Keywords(DataConfig, DomainConfig, first=_ROOT)

    def dataset(shown: str, name: str, summary: str) -> DatasetBuilder[P, Q]:
        def build(root: str | Path | None = None, /, **settings: Any) -> Dataset:
            keywords.check(shown, settings)
            return Dataset(name, **({} if root is None else {"root": root}), **settings)

        keywords.describe(build, shown, summary)
        return cast(DatasetBuilder[P, Q], build)

    return dataset


_dataset = _builder(DataConfig, DomainConfig)

Omniglot = _dataset("Omniglot", "omniglot", "Handwritten characters of 50 alphabets.")
MiniImageNet = _dataset("MiniImageNet", "miniimagenet", "100 classes of ImageNet, 84x84 pixels.")
CIFARFS = _dataset("CIFARFS", "cifar_fs", "CIFAR-100 with the splits of Bertinetto et al.")
FC100 = _dataset("FC100", "fc100", "CIFAR-100 divided by superclass (Oreshkin et al.).")
CUB = _dataset("CUB", "cub", "200 species of birds.")
Fonts = _dataset("Fonts", "fonts", "Printed characters, by the fonts that are installed.")
Emoji = _dataset("Emoji", "emoji", "One concept by many designers, from npm packages.")
FashionMNIST = _dataset("FashionMNIST", "fashion_mnist", "70,000 pictures of clothes.")
Folder = _dataset("Folder", "folder", "Your images: a folder, or a zip or tar file, of classes.")
Arrays = _dataset("Arrays", "arrays", "Your arrays in .npz files.")
Features = _dataset("Features", "features", "Your vectors, or those of ``mr.embed``.")
Glyphs = _dataset("Glyphs", "glyphs", "Drawn characters; needs no files.")
Sinusoid = _dataset("Sinusoid", "sinusoid", "Regression of sine waves; needs no files.")
