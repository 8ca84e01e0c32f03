"""The data sets by name. Nothing is imported until one is used."""

from __future__ import annotations

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.open_registry import SectionRegistry

DATA_SETS = SectionRegistry(
    key="data.name",
    group="metaray.datasets",
    builtin={
        "glyphs": "metaray.algorithms.tasks.glyphs:Glyphs",
        "omniglot": "metaray.algorithms.tasks.omniglot:Omniglot",
        "omniglot_runs": "metaray.algorithms.tasks.dataset:omniglot_runs",
        "miniimagenet": "metaray.algorithms.tasks.miniimagenet:MiniImageNet",
        "cifar_fs": "metaray.algorithms.tasks.cifar100:CifarFS",
        "fc100": "metaray.algorithms.tasks.cifar100:FC100",
        "cub": "metaray.algorithms.tasks.cub:Cub",
        "fonts": "metaray.algorithms.tasks.fonts:Fonts",
        "emoji": "metaray.algorithms.tasks.emoji:Emoji",
        "fashion_mnist": "metaray.algorithms.tasks.fashion_mnist:FashionMnist",
        "folder": "metaray.algorithms.tasks.folder:Folder",
        "features": "metaray.algorithms.tasks.features:Features",
        "arrays": "metaray.algorithms.tasks.npz:Arrays",
        "sinusoid": "metaray.algorithms.tasks.dataset:sinusoids",
    },
    base=DataConfig,
    own_class=False,
)
"""What each data set is: an ``ImageDataset``, or what ``collection`` takes in place of one."""
