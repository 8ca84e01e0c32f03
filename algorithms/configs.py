"""What can be set about models, data and episodes. No torch: ``--help`` reads this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import Self, override

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import absolute
from metaray.algorithms.plugins import is_outside, label_of, load
from metaray.algorithms.value_types import wrong_type

BatchNormMode = Literal["transductive", "inductive"]
NormKind = Literal["batch", "group", "instance"]
VARYING_QUERIES = 10
"""queries of each class in Meta-Dataset"""


class Section(BaseModel):
    """A frozen group of settings in which an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_type(cls, value: Any, info: ValidationInfo) -> Any:
        """Text is no number, and no truth value: see ``value_types``."""
        wrong = wrong_type(cls.model_fields[info.field_name or ""].annotation, value)
        if wrong is not None:
            raise PydanticCustomError("value_type", "{wrong}", {"wrong": wrong})
        return value


class NamedSection(Section):
    """A section whose ``name`` says what its other settings are: those of a method, a data set.

    A section of a plug-in derives from one of ours and adds settings. Its ``name`` is the name by
    which it was found; made in Python, it is the ``module:Class`` of the section itself.
    """

    summary: ClassVar[str] = ""
    """one line that says what it is"""
    paper: ClassVar[str] = ""
    """where it was published"""
    implementation: ClassVar[str] = ""
    """the ``module:Name`` of its code, which is imported when it is used"""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """other settings that it likes to have unless the user says otherwise, by path"""
    search_space: ClassVar[Mapping[str, Any]] = {}
    """what a sweep searches unless told otherwise: ranges of ``metaray.tune_spaces.space``"""

    name: str

    @property
    def label(self) -> str:
        """The name for people and for folders, without the path of a file."""
        return label_of(self.name)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        if isinstance(values, dict) and cls.model_fields["name"].is_required():
            return {"name": f"{cls.__module__}:{cls.__qualname__}"} | values
        return values

    @override
    def __reduce_ex__(self, protocol: Any) -> Any:
        # another process must find the file of a plug-in before it can find its class
        if not is_outside(self.name):
            return super().__reduce_ex__(protocol)
        cls = type(self)
        return _restored, (self.name, cls.__module__, cls.__qualname__, self.model_dump())


def _restored(name: str, module: str, class_name: str, values: dict[str, Any]) -> NamedSection:
    load(name)
    section: NamedSection = load(f"{module}:{class_name}").model_validate(values)
    return section


Sampler = Literal["fixed", "varying", "sequence"]


class TaskConfig(Section):
    """The shape of an episode. Training may use another shape than the test (as ProtoNet does)."""

    ways: int = Field(5, ge=1, le=10_000)
    """classes per test episode (N)"""
    shots: int = Field(1, ge=1, le=10_000)
    """labelled examples per class in a test episode (K)"""
    queries: int = Field(15, ge=1, le=10_000)
    """examples to predict per class in a test episode; without a fixed `sampler` 10 unless set"""
    train_ways: int = Field(5, ge=1, le=10_000)
    """classes per training episode; as `ways` unless set"""
    train_shots: int = Field(1, ge=1, le=10_000)
    """labelled examples per class in training; as `shots` unless set"""
    train_queries: int = Field(15, ge=1, le=10_000)
    """examples to predict per class in training; as `queries` unless set"""
    within_group: bool = False
    """all classes of a test episode are of one group: an alphabet of omniglot, a script of glyphs,
    a superclass of fc100, a folder around class folders; the group is drawn first"""
    train_within_group: bool = False
    """the same in training; as `within_group` unless set"""
    sampler: Sampler = "fixed"
    """fixed: every test episode has `ways` and `shots`; varying: each has its own number of classes
    and, for each class, its own number of shots, as in Meta-Dataset (Triantafillou et al. 2020);
    sequence: each is the beginning of a sequence of `ways` classes, as Santoro et al. (2016)
    present them, for methods that read labels"""
    train_sampler: Sampler = "fixed"
    """that of training; tasks of a shard then share ways and the size of the support set; as
    `sampler` unless set"""
    train_labels: Literal["given", "none"] = "given"
    """none: training uses no labels. Every image is a separate class, and its queries are randomly
    augmented copies of it (UMTRA, Khodadadeh et al. 2019)"""
    min_ways: int = Field(5, ge=2, le=10_000)
    """varying sampler: fewest classes of an episode"""
    max_ways: int = Field(50, ge=2, le=10_000)
    """varying sampler: most classes of an episode; at most those of the split, or of the group"""
    max_support: int = Field(500, ge=2, le=100_000)
    """varying sampler: most examples in a support set"""
    max_support_per_class: int = Field(100, ge=1, le=100_000)
    """varying sampler: most that a class adds to the size of a support set, which classes then
    share unevenly, so that one may have more"""
    sequence_shots: int = Field(10, ge=1, le=10_000)
    """sequence sampler: examples of each class in a whole sequence"""

    @model_validator(mode="before")
    @classmethod
    def _train_as_test(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if values.get("sampler") in ("varying", "sequence"):
            values = {"queries": VARYING_QUERIES} | values
        followed = ("ways", "shots", "queries", "within_group", "sampler")
        return {f"train_{key}": values[key] for key in followed if key in values} | values

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_ways > self.max_ways:
            raise InputError(
                f"task.min_ways ({self.min_ways}) is above task.max_ways ({self.max_ways}): set "
                "both, the smaller one first"
            )
        if self.max_support < self.max_ways:
            raise InputError(
                f"task.max_support ({self.max_support}) leaves some of {self.max_ways} classes "
                "without an example: raise it, or lower task.max_ways"
            )
        return self

    @property
    def without_effect(self) -> tuple[str, ...]:
        """The settings that the samplers make void."""
        void = [
            *_VOID[self.sampler],
            *(f"train_{key}" for key in _VOID[self.train_sampler]),
        ]
        for sampler, own in _OWN.items():
            if sampler not in (self.sampler, self.train_sampler):
                void += own
        return tuple(void)


_VOID: dict[Sampler, tuple[str, ...]] = {
    "fixed": (),
    "varying": ("ways", "shots"),
    "sequence": ("shots",),
}
_OWN: dict[Sampler, tuple[str, ...]] = {
    "varying": ("min_ways", "max_ways", "max_support", "max_support_per_class"),
    "sequence": ("sequence_shots",),
}

# What a data set has been used with in the literature, where it is not the class default.
_IMAGES_84 = {"split": "published", "image_size": 84}
_IMAGES_32 = {"split": "published", "image_size": 32}
_BY_DATA_SET: dict[str, dict[str, Any]] = {
    "miniimagenet": _IMAGES_84,
    "cifar_fs": _IMAGES_32,
    "fc100": _IMAGES_32,
    "cub": _IMAGES_84,
    "fonts": {"min_designs": 10},
    "emoji": {"split": "random", "image_size": 32},
    "fashion_mnist": {"split": "random"},
    "folder": {"split": "random", "image_size": 84},
    "arrays": {"split": "random", "image_size": 28},
    "features": {"split": "random"},
}
_TEST_DESIGNERS = ("fxemoji", "openmoji", "emojione", "emojione-v1")
_OF_CHARACTERS = {"glyphs", "omniglot", "omniglot_runs", "sinusoid"}


class DataConfig(NamedSection):
    """Where the classes come from, and how they are split."""

    name: str = "glyphs"
    """data set"""
    root: str | None = None
    """where the raw data is: a folder, or for some sets a file (`metaray data list` tells)"""
    cache: str | None = None
    """folder for prepared data sets; default $METARAY_CACHE or ~/.cache/metaray"""
    split: Literal["alphabet", "vinyals", "random", "designer", "published", "source", "lists"] = (
        "alphabet"
    )
    """how classes are divided into train, val and test (`metaray data list` explains). For
    omniglot, figures were published on `vinyals` and on random splits, not on `alphabet`"""
    split_seed: int = Field(0, ge=0)
    """seed of the `random` split"""
    split_ratio: tuple[float, float, float] = (0.64, 0.16, 0.2)
    """folder, arrays and features, `random` split: shares of the classes for train, val and test;
    they add up to 1"""
    split_lists: str | None = None
    """folder and features, `lists` split: a folder with train.txt, val.txt and test.txt, a class
    name a line"""
    rotations: Literal["none", "train", "all"] = "none"
    """quarter turns of a class as further classes: in training only, in all splits, or nowhere"""
    augment: bool = False
    """colour images: shift by up to an eighth and flip at random, in training only"""
    drop_duplicates: bool = False
    """folder and arrays: leave out images that occur earlier in their class, byte for byte"""
    bbox_crop: bool = False
    """cub only: keep the part of each image within its bounding box"""
    channels: Literal[1, 3] | None = None
    """grey (1) or colour (3) as the network sees images; default as the data set has them"""
    image_size: int = Field(28, ge=8, le=512)
    """pixels per side after resizing"""
    centre: bool = False
    """features: subtract the mean vector of the training classes from every vector"""
    label_column: str = "label"
    """features in Parquet: the column of classes"""
    num_classes: int = Field(2000, ge=3, le=100_000)
    """glyphs only: characters to draw"""
    min_designs: int = Field(4, ge=2, le=1000)
    """emoji: sets of icons that a concept needs to be a class; fonts: families that a character
    needs, by default 10"""
    ideographs: bool = False
    """fonts only: also Chinese characters, Hangul syllables and Tangut"""
    test_designers: tuple[str, ...] = _TEST_DESIGNERS
    """emoji, `designer` split: the sets of icons whose pictures are for the test alone"""
    subset: Literal["all", "background", "small1", "small2"] = "all"
    """omniglot only: `background` is images_background alone, whose alphabets are divided; `small1`
    and `small2` have one of the two minimal backgrounds of five alphabets in place of
    images_background. Figures of minimal and of original backgrounds are not comparable"""
    frequencies: tuple[float, float] = (1.0, 1.0)
    """sinusoid only: lowest and highest frequency of a curve. [1, 1] is as in the paper of MAML,
    [0.8, 1.2] as in that of Meta-SGD"""
    download: bool = False
    """fetch missing data (omniglot, through torchvision)"""

    @property
    def is_regression(self) -> bool:
        """Whether the labels of its tasks are numbers, not classes."""
        return self.name == "sinusoid"

    @property
    def is_divided(self) -> bool:
        """Whether its classes are divided by ``split``."""
        return self.name not in ("sinusoid", "omniglot_runs")

    @property
    def has_images(self) -> bool:
        """Whether the inputs of its tasks are images."""
        return self.name not in ("sinusoid", "features")

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name = str(values.get("name", "glyphs"))
        if name not in _OF_CHARACTERS | _BY_DATA_SET.keys():  # a plug-in's
            free = cls.model_fields["split"].default == "alphabet"
            return ({"split": "random"} if free else {}) | values
        return _BY_DATA_SET.get(name, {}) | values

    @field_validator("root", "cache", "split_lists")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return None if path is None else absolute(path)

    @field_validator("frequencies")
    @classmethod
    def _ascending(cls, frequencies: tuple[float, float]) -> tuple[float, float]:
        low, high = frequencies
        if not 0 < low <= high:
            raise ValueError(
                f"data.frequencies = {[low, high]} is not a range of positive numbers: for example "
                "[0.8, 1.2]"
            )
        return frequencies

    @field_validator("split_ratio", mode="before")
    @classmethod
    def _whole(cls, ratio: Any) -> Any:
        numbers = isinstance(ratio, list | tuple) and all(isinstance(r, int | float) for r in ratio)
        if numbers and (len(ratio) != 3 or min(ratio) <= 0 or abs(sum(ratio) - 1) > 1e-6):
            raise ValueError(
                f"data.split_ratio = {list(ratio)} are not three positive shares that add up to "
                "1: for example [0.64, 0.16, 0.2]"
            )
        return ratio


class ModelConfig(NamedSection):
    """The network that is meta-trained."""

    uses: ClassVar[tuple[str, ...]] = ()
    """of a network of a plug-in: those of the settings below that it reads"""

    name: str = "conv4_strided"
    """conv4: four 3x3 blocks with max pooling; conv4_strided: stride 2 and mean over space;
    conv4_map: pooling in the first two blocks only, which leaves a feature map; resnet12 and
    wrn28_10: residual networks; torchvision and timm: the network `arch` of that package; mlp:
    linear layers; mlp_norm: four of them with a norm, of 4, 2, 1 and 1 times `width` units;
    identity: no network, where the data are features already"""
    width: int = Field(64, ge=1, le=65_536)
    """channels of a conv4, units of a layer of an mlp and of the last two of mlp_norm; of resnet12
    and wrn28_10 64 is the published size, and all widths follow; torchvision's networks have their
    own"""
    depth: int = Field(2, ge=1, le=1_000)
    """hidden layers of an mlp"""
    norm: NormKind = "batch"
    """batch norm, or group or instance norm, which look at one image at a time"""
    drop_block: float = Field(0.0, ge=0, lt=1)
    """resnet12: share of features that DropBlock drops in training; 0: off"""
    arch: str = "resnet18"
    """torchvision and timm: name of the network"""
    weights: str | None = None
    """torchvision and timm: file with pretrained weights (readable on every worker); `download` for
    torchvision's own; random unless set"""

    @field_validator("weights")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return path if path in (None, "download") else absolute(path)

    @model_validator(mode="after")
    def _in_effect(self) -> Self:
        if type(self) is not ModelConfig or is_outside(self.name):
            return self._in_effect_outside()
        if self.name not in ("torchvision", "timm"):
            for key in ("arch", "weights"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise InputError(
                        f"model.{key} has no effect on {self.name}: set model.name = torchvision "
                        "or timm"
                    )
        if self.name != "mlp" and self.depth != type(self).model_fields["depth"].default:
            raise InputError(f"model.depth has no effect on {self.name}: leave it out")
        if self.drop_block and self.name != "resnet12":
            raise InputError(
                f"{self.name} has no DropBlock: set model.name = resnet12, or model.drop_block = 0"
            )
        if self.norm != "batch" and self.name in ("mlp", "identity"):
            raise InputError(f"{self.name} has no norm: leave out model.norm")
        alone = self.norm == "instance" or (self.norm == "group" and self.width % 2)
        if alone and self.name == "mlp_norm":
            raise InputError(
                f"model.norm = {self.norm} would normalise each unit of mlp_norm by itself, which "
                "leaves nothing of it: set model.norm = batch, or group with an even model.width"
            )
        return self

    def _in_effect_outside(self) -> Self:
        used = {"name", "norm", *self.uses}  # norm is what stands in place of any batch norm
        for key in ModelConfig.model_fields:
            if key not in used and getattr(self, key) != type(self).model_fields[key].default:
                raise InputError(f"model.{key} has no effect on {self.label}: leave it out")
        return self
