"""What can be set about methods, models, data and episodes. No torch: ``--help`` reads this."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SecondOrder = Literal["auto", "unrolled", "recursion"]
BatchNormMode = Literal["transductive", "inductive"]


class Section(BaseModel):
    """A frozen group of settings in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TaskConfig(Section):
    """The shape of an episode. Training may use another shape than the test (as ProtoNet does)."""

    ways: int = Field(5, ge=1)
    """classes per test episode (N)"""
    shots: int = Field(1, ge=1)
    """labelled examples per class in a test episode (K)"""
    queries: int = Field(15, ge=1)
    """examples to predict per class in a test episode"""
    train_ways: int = Field(5, ge=1)
    """classes per training episode; as `ways` unless set"""
    train_shots: int = Field(1, ge=1)
    """labelled examples per class in training; as `shots` unless set"""
    train_queries: int = Field(15, ge=1)
    """examples to predict per class in training; as `queries` unless set"""

    @model_validator(mode="before")
    @classmethod
    def _train_as_test(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        fallback = {f"train_{k}": values[k] for k in ("ways", "shots", "queries") if k in values}
        return fallback | values


# What a data set has been used with in the literature, where it is not the class default.
_PICTURES_84 = {"split": "published", "image_size": 84}
_PICTURES_32 = {"split": "published", "image_size": 32}
_BY_DATA_SET: dict[str, dict[str, Any]] = {
    "miniimagenet": _PICTURES_84,
    "cifar_fs": _PICTURES_32,
    "fc100": _PICTURES_32,
    "cub": _PICTURES_84,
    "folder": {"split": "random", "image_size": 84},
}


class DataConfig(Section):
    """Where the classes come from, and how they are split."""

    name: Literal[
        "glyphs", "omniglot", "sinusoid", "miniimagenet", "cifar_fs", "fc100", "cub", "folder"
    ] = "glyphs"
    """data set"""
    root: str | None = None
    """where the raw data is: a folder, or for some sets a file (`metaray data list` tells)"""
    cache: str | None = None
    """folder for prepared data sets; default $METARAY_CACHE or ~/.cache/metaray"""
    split: Literal["alphabet", "vinyals", "random", "published", "lists"] = "alphabet"
    """how classes are divided into train, val and test (`metaray data list` explains)"""
    split_seed: int = Field(0, ge=0)
    """seed of the `random` split"""
    split_ratio: tuple[float, float, float] = (0.64, 0.16, 0.2)
    """folder, `random` split: shares of the classes for train, val and test; they add up to 1"""
    split_lists: str | None = None
    """folder, `lists` split: a folder with train.txt, val.txt and test.txt, a class name a line"""
    rotations: Literal["none", "train", "all"] = "none"
    """quarter turns of a class as further classes: in training only, in all splits, or nowhere"""
    augment: bool = False
    """colour pictures: shift by up to an eighth and flip at random, in training only"""
    bbox_crop: bool = False
    """cub only: keep the part of each picture within its bounding box"""
    channels: Literal[1, 3] | None = None
    """grey (1) or colour (3) as the network sees pictures; default as the data set has them"""
    image_size: int = Field(28, ge=8, le=512)
    """pixels per side after resizing"""
    num_classes: int = Field(2000, ge=3, le=100_000)
    """glyphs only: characters to draw"""
    download: bool = False
    """fetch missing data (omniglot, through torchvision)"""

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return _BY_DATA_SET.get(str(values.get("name")), {}) | values

    @field_validator("root", "cache", "split_lists")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        # workers run in folders of their own
        return None if path is None else str(Path(path).expanduser().absolute())

    @field_validator("split_ratio")
    @classmethod
    def _whole(cls, ratio: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(ratio) <= 0 or abs(sum(ratio) - 1) > 1e-6:
            raise ValueError(
                f"data.split_ratio = {list(ratio)} are not three positive shares that add up to "
                "1: for example [0.64, 0.16, 0.2]"
            )
        return ratio


class ModelConfig(Section):
    """The network that is meta-trained."""

    name: Literal["conv4", "conv4_strided", "mlp"] = "conv4_strided"
    """conv4: four 3x3 blocks with max pooling; conv4_strided: stride 2 and mean over space"""
    width: int = Field(64, ge=1)
    """channels of a conv4, units of an mlp layer"""
    depth: int = Field(2, ge=1)
    """hidden layers of an mlp"""


class MethodSection(Section):
    """The settings of a method, and what holds for all of its settings."""

    fixed_head: ClassVar[bool] = True
    """has one output per class, so that training and test have the same number of ways"""
    learns_regression: ClassVar[bool] = True
    """labels may be numbers"""


class _GradientBased(MethodSection):
    inner_steps: int = Field(1, ge=0)
    """inner gradient steps in training"""
    eval_inner_steps: int = Field(3, ge=0)
    """inner gradient steps in validation and test"""
    inner_lr: float = Field(0.4, gt=0)
    """inner step size, for a loss that is the mean over the support set"""
    train_batch_norm: BatchNormMode = "transductive"
    """statistics for the query set in training: its own, or those of the support set"""


class MAMLConfig(_GradientBased):
    """MAML (Finn et al. 2017): differentiate through the inner gradient steps."""

    name: Literal["maml"] = "maml"
    second_order: SecondOrder = "auto"
    """how the exact meta-gradient is computed: unrolled graph, or constant-memory recursion"""


class FOMAMLConfig(_GradientBased):
    """First-order MAML (Finn et al. 2017): the query gradient at the adapted weights."""

    name: Literal["fomaml"] = "fomaml"


class ANILConfig(_GradientBased):
    """ANIL (Raghu et al. 2020): MAML whose inner loop adapts the head only."""

    name: Literal["anil"] = "anil"
    inner_steps: int = Field(5, ge=0)
    eval_inner_steps: int = Field(10, ge=0)
    inner_lr: float = Field(0.1, gt=0)
    second_order: SecondOrder = "auto"
    """how the exact meta-gradient is computed: unrolled graph, or constant-memory recursion"""


class ReptileConfig(MethodSection):
    """Reptile (Nichol et al. 2018): move towards the weights that ordinary training reaches."""

    name: Literal["reptile"] = "reptile"
    inner_lr: float = Field(1e-3, gt=0)
    """inner step size"""
    inner_optimizer: Literal["adam", "sgd"] = "adam"
    """adam has beta1 = 0, and its second moment is carried from task to task"""
    inner_steps: int = Field(5, ge=1)
    """inner mini-batch steps in training"""
    inner_batch: int = Field(10, ge=1)
    """examples per inner mini-batch in training"""
    eval_inner_steps: int = Field(50, ge=0)
    """inner mini-batch steps in validation and test"""
    eval_inner_batch: int = Field(5, ge=1)
    """examples per inner mini-batch in validation and test"""


class ProtoNetConfig(MethodSection):
    """Prototypical networks (Snell et al. 2017): nearest class mean in embedding space."""

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False

    name: Literal["protonet"] = "protonet"


MethodConfig = Annotated[
    MAMLConfig | FOMAMLConfig | ANILConfig | ReptileConfig | ProtoNetConfig,
    Field(discriminator="name"),
]
