"""What can be set about the images of a domain. No torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from metaray.algorithms.configs import DataConfig, Section
from metaray.algorithms.errors import InputError
from metaray.algorithms.open_registry import not_one_of
from metaray.algorithms.paths import absolute
from metaray.algorithms.plugins import is_outside, located
from metaray.algorithms.tasks.registry import DATA_SETS

_KEEPS_PARTS = ("folder", "arrays", "fashion_mnist")
_NO_EXAMPLES = ("sinusoid", "omniglot_runs", "features")  # images that a job could divide


class DomainConfig(Section):
    """Labelled images, divided within each class into training, validation and test."""

    name: str = "glyphs"
    """data set"""
    root: str | None = None
    """where the raw data is: a folder, for some sets a file; arrays: also a pattern such as
    digits/usps_*.npz"""
    cache: str | None = None
    """folder for prepared data sets; default $METARAY_CACHE or ~/.cache/metaray"""
    image_size: int | None = Field(None, ge=8, le=512)
    """pixels per side after resizing; default as the data set is used, and for a target as the
    source"""
    channels: Literal[1, 3] | None = None
    """grey (1) or colour (3) as the network sees images; default as the data set has them, and
    for a target as the source"""
    num_classes: int = Field(100, ge=3, le=100_000)
    """glyphs only: characters to draw"""
    drop_duplicates: bool = False
    """folder and arrays: leave out images that occur earlier in their class, also in another part;
    of copies in the training and the test part, the test keeps its own"""
    division: Literal["published", "random"] = "random"
    """published keeps the train, val and test parts of the raw data (folder, arrays and
    fashion_mnist); random divides the images of each class"""
    split: Literal["alphabet", "vinyals", "random", "published"] | None = None
    """take the training classes of this split alone, so that a meta-test by the same data.split
    has classes of which no image was seen; default all classes"""
    division_seed: int = Field(0, ge=0)
    """seed of what is divided at random, and of which labels_per_class are kept"""
    val_share: float = Field(0.1, gt=0, lt=1)
    """share of each class's images for validation, unless a part for it is published"""
    test_share: float = Field(0.2, gt=0, lt=1)
    """random division: share of each class's images for the test"""
    labels_per_class: int | None = Field(None, ge=1)
    """labelled images of each class to train on, and at most as many for validation; default
    all"""

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return ({"division": "published"} if values.get("name") in _KEEPS_PARTS else {}) | values

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        known = [other for other in DATA_SETS if other not in _NO_EXAMPLES]
        if not is_outside(name) and name not in known:
            raise InputError(not_one_of("data.name", name, known))
        return located(name)

    @field_validator("root", "cache")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return None if path is None else absolute(path)

    @model_validator(mode="after")
    def _in_effect(self) -> Self:
        if self.division == "published" and self.name not in _KEEPS_PARTS:
            raise InputError(
                f"{self.name} has no published parts within its classes: set division = random"
            )
        if self.division == "published" and self.split is not None:
            raise InputError(
                "split has no effect on published parts: leave it out, or set division = random"
            )
        if self.division == "published" and self.test_share != _default("test_share"):
            raise InputError(
                "test_share has no effect on published parts: leave it out, or set "
                "division = random"
            )
        if self.name != "glyphs" and self.num_classes != _default("num_classes"):
            raise InputError(f"num_classes has no effect on {self.name}: leave it out")
        if self.val_share + self.test_share >= 1 and self.division == "random":
            raise InputError(
                f"val_share + test_share = {self.val_share + self.test_share:g} leave nothing to "
                "train on: they must add up to less than 1"
            )
        return self

    def stored(self) -> DataConfig:
        """What of this decides the prepared images."""
        settings: dict[str, Any] = {"name": self.name, "root": self.root, "cache": self.cache}
        if self.split is not None:
            settings["split"] = self.split
        if self.image_size is not None:
            settings["image_size"] = self.image_size
        if self.drop_duplicates:
            settings["drop_duplicates"] = True
        if self.name == "glyphs":
            settings["num_classes"] = self.num_classes
        return DATA_SETS.validate(settings)

    def like(self, source: DomainConfig) -> DomainConfig:
        """This domain, in the size and channels of ``source`` where its own are not set."""
        return self.model_copy(
            update={
                "image_size": self.image_size or source.stored().image_size,
                "channels": self.channels or source.channels,
            }
        )


def _default(key: str) -> Any:
    return DomainConfig.model_fields[key].default
