"""One concept by many designers: emoji from npm's ``@iconify-json`` packages, in colour.

A class is a concept, an example is its picture in one set of icons (``iconify`` says what counts as
one concept, ``designs`` what happens to pictures that occur twice). Pictures are drawn by resvg
(PyPI ``resvg-py``, an extra) on white.

``random`` divides the concepts. ``designer`` divides them in the same way and the designers too:
``data.test_designers`` draw the pictures of the test, the others those of training and
validation. So a test then has new concepts in styles that were never seen.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import Images
from metaray.algorithms.tasks.data_sources import SourcesRecord
from metaray.algorithms.tasks.dataset import (
    ClassLists,
    ImageDataset,
    LazyClass,
    RecordedClasses,
    missing,
)
from metaray.algorithms.tasks.designs import DesignedClass, Drawings, classes_of_designs
from metaray.algorithms.tasks.drawn_class import DrawnClass
from metaray.algorithms.tasks.iconify import FILES, Icon, IconSet, concepts_of
from metaray.algorithms.tasks.installed_packages import need_extra
from metaray.algorithms.tasks.splits import Splits, by_label, random_split

VERSION = 1
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

DESIGNERS = (
    "noto", "noto-v1", "twemoji", "fluent-emoji-flat", "fxemoji", "openmoji", "emojione",
    "emojione-v1",
)  # fmt: skip
"""the packages that are read, in the order in which their pictures count"""

_SCOPE = "@iconify-json"
_NEEDS = (
    f"npm install {' '.join(f'{_SCOPE}/{name}' for name in DESIGNERS)}, and point data.root at the "
    "folder node_modules (that of the working directory is found), or at a folder of such packages"
)
_BLANK = "icons that are blank or that resvg cannot draw"
_RARE = "concepts in too few sets of icons"
_FEW = "concepts with too few training or test designers"
_SEEN, _NEW = "seen", "new"


class Emoji(ImageDataset):
    """See the module."""

    name = "emoji"
    description = "one concept by up to 8 designers: emoji in colour"
    splits = ("random", "designer")
    settings = (
        "root", "min_designs", "test_designers", "augment", "channels", "split_seed", "split_ratio",
    )  # fmt: skip
    needs = _NEEDS
    prepared_as = "emoji"
    installed_at = ("node_modules",)

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        found: dict[str, str | int] = {
            "version": VERSION,
            "image_size": data.image_size,
            "min_designs": data.min_designs,
        }
        by_designer = data.split == "designer"
        return found | ({"test": ",".join(sorted(data.test_designers))} if by_designer else {})

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        folders = _folders(root)
        found = {f"{n}/{f}": folder / f for n, folder in folders.items() for f in FILES}
        return {name: path for name, path in found.items() if path.is_file()} or None

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        """The concepts in the order of their names."""
        folders = _folders(root)
        if not folders:
            raise missing("packages of emoji", root, _NEEDS)
        yield _classes([IconSet.read(name, folder) for name, folder in folders.items()], root, data)

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        """Concepts at random; with ``designer``, the pictures of each by who drew them as well."""
        if data.split == "random":
            return random_split(classes.names, data.split_seed, data.split_ratio)
        concepts = sorted({_concept(name) for name in classes.names})
        divided = random_split(concepts, data.split_seed, data.split_ratio)
        part_of = {concepts[c]: part for part, ids in divided.items() for c in ids}
        return by_label(_part(name, part_of) for name in classes.names)


def _concept(name: str) -> str:
    return name.partition("/")[2]


def _part(name: str, part_of: Mapping[str, Split]) -> Split | None:
    """The split of ``seen/cat`` or ``new/cat``; None where the designers do not suit it."""
    part = part_of[_concept(name)]
    return part if (part == "test") == name.startswith(f"{_NEW}/") else None


def _folders(root: Path) -> dict[str, Path]:
    """The packages at ``root``, which is a folder node_modules, the scope in it, or of packages."""
    for base in (root / _SCOPE, root):
        found = {n: base / n for n in DESIGNERS if (base / n / FILES[0]).is_file()}
        if found:
            return found
    return {}


def _classes(sets: list[IconSet], root: Path, data: DataConfig) -> RecordedClasses:
    left_out: Counter[str] = Counter()
    found = concepts_of(sets, left_out)
    counts = Counter(concept for icons in found.values() for concept in icons)
    common = {concept for concept in counts if counts[concept] >= data.min_designs}
    left_out[_RARE] += len(counts) - len(common)
    drawings = [
        Drawings(name, _drawn(icons, common, data.image_size, left_out))
        for name, icons in found.items()
    ]
    designed = classes_of_designs(drawings, data.min_designs)
    left_out += designed.left_out
    classes = [
        drawn
        for one in designed.classes
        for drawn in (
            _by_designer(one, data, left_out) if data.split == "designer" else [_whole(one)]
        )
    ]
    if not classes:
        raise InputError(
            f"{root} has {len(sets)} of the packages ({', '.join(s.name for s in sets)}), and no "
            f"concept is in enough of them: {_NEEDS}; or lower data.min_designs"
        )
    images = Counter(designer for one in designed.classes for designer in one.images)
    sources = [one.source.model_copy(update={"images": images[one.name]}) for one in sets]
    record = SourcesRecord(
        sources=tuple(source for source in sources if source.images),
        left_out=dict(sorted(left_out.items())),
        drawn_with={"resvg-py": version("resvg-py")},
    )
    return RecordedClasses(classes, record)


def _whole(one: DesignedClass) -> DrawnClass:
    return DrawnClass(name=one.keys[0], group="", images=np.stack(list(one.images.values())))


def _by_designer(
    one: DesignedClass, data: DataConfig, left_out: Counter[str]
) -> Iterator[DrawnClass]:
    """The pictures for training and those for the test, as two classes."""
    new = [image for designer, image in one.images.items() if designer in data.test_designers]
    seen = [image for designer, image in one.images.items() if designer not in data.test_designers]
    if min(len(new), len(seen)) < max(2, data.min_designs // 2):
        left_out[_FEW] += 1
        return
    for group, images in ((_SEEN, seen), (_NEW, new)):
        yield DrawnClass(name=f"{group}/{one.keys[0]}", group=group, images=np.stack(images))


def _drawn(
    icons: Mapping[str, Icon], common: set[str], size: int, left_out: Counter[str]
) -> dict[str, Images]:
    images = {}
    for concept in sorted(common & icons.keys()):
        image = draw_icon(icons[concept], size)
        if image is None:
            left_out[_BLANK] += 1
        else:
            images[concept] = image
    return images


def draw_icon(icon: Icon, size: int) -> Images | None:
    """The icon on white, uint8 ``[3, size, size]``; None where there is nothing to see."""
    try:
        from resvg_py import svg_to_bytes
    except ModuleNotFoundError:
        raise need_extra("resvg-py", "emoji", "data.name = emoji") from None
    try:
        png = svg_to_bytes(svg_string=icon.svg(size), background="#ffffff", skip_system_fonts=True)
    except ValueError:
        return None
    with Image.open(io.BytesIO(bytes(png))) as picture:
        image = np.asarray(picture.convert("RGB"))
    return None if image.min() == 255 else np.ascontiguousarray(image.transpose(2, 0, 1))
