"""What can be set about methods, models, data and episodes. No torch: ``--help`` reads this."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

from metaray.algorithms.errors import InputError

SecondOrder = Literal["auto", "unrolled", "recursion"]
BatchNormMode = Literal["transductive", "inductive"]
NormKind = Literal["batch", "group", "instance"]


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


class DataConfig(Section):
    """Where the classes come from, and how they are split."""

    name: Literal["glyphs", "omniglot", "sinusoid"] = "glyphs"
    """data set"""
    root: str | None = None
    """folder with the raw data (Omniglot's zips or folders)"""
    cache: str | None = None
    """folder for prepared data sets; default $METARAY_CACHE or ~/.cache/metaray"""
    split: Literal["alphabet", "vinyals", "random"] = "alphabet"
    """how classes are divided into train, val and test (`metaray data list` explains)"""
    split_seed: int = Field(0, ge=0)
    """seed of the `random` split"""
    rotations: Literal["none", "train", "all"] = "none"
    """quarter turns of a class as further classes: in training only, in all splits, or nowhere"""
    image_size: int = Field(28, ge=8, le=512)
    """pixels per side after resizing"""
    num_classes: int = Field(2000, ge=3, le=100_000)
    """glyphs only: characters to draw"""
    download: bool = False
    """fetch missing data (omniglot, through torchvision)"""

    @field_validator("root", "cache")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        # workers run in folders of their own
        return None if path is None else str(Path(path).expanduser().absolute())


class ModelConfig(Section):
    """The network that is meta-trained."""

    name: Literal["conv4", "conv4_strided", "resnet12", "wrn28_10", "torchvision", "mlp"] = (
        "conv4_strided"
    )
    """conv4: four 3x3 blocks with max pooling; conv4_strided: stride 2 and mean over space;
    resnet12 and wrn28_10: residual networks; torchvision: the network `arch`"""
    width: int = Field(64, ge=1)
    """channels of a conv4, units of an mlp layer; of resnet12 and wrn28_10 64 is the published
    size, and all widths follow; torchvision's networks have their own"""
    depth: int = Field(2, ge=1)
    """hidden layers of an mlp"""
    norm: NormKind = "batch"
    """batch norm, or group or instance norm, which look at one picture at a time"""
    drop_block: float = Field(0.0, ge=0, lt=1)
    """resnet12: share of features that DropBlock drops in training; 0: off"""
    arch: str = "resnet18"
    """torchvision: name of the network"""
    weights: str | None = None
    """torchvision: file with pretrained weights (readable on every worker), or `download` for
    torchvision's own; random unless set"""

    @field_validator("weights")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        # workers run in folders of their own
        return path if path in (None, "download") else str(Path(path).expanduser().absolute())

    @model_validator(mode="after")
    def _in_effect(self) -> Self:
        if self.name != "torchvision":
            for key in ("arch", "weights"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise InputError(
                        f"model.{key} has no effect on {self.name}: set model.name = torchvision"
                    )
        if self.drop_block and self.name != "resnet12":
            raise InputError(
                f"{self.name} has no DropBlock: set model.name = resnet12, or model.drop_block = 0"
            )
        if self.norm != "batch" and self.name == "mlp":
            raise InputError("an mlp has no norm: leave out model.norm")
        return self


class MethodSection(Section):
    """The settings of a method, and what holds for all of its settings."""

    fixed_head: ClassVar[bool] = True
    """has one output per class, so that training and test have the same number of ways"""
    learns_regression: ClassVar[bool] = True
    """labels may be numbers"""
    drops_features: ClassVar[bool] = False
    """gives the network the key that DropBlock needs"""


class BatchTrained(MethodSection):
    """A method that trains on mini-batches over all training classes, and is tested on episodes.

    A task of an outer step is one mini-batch; several are normalised apart (ghost batch norm,
    Hoffer et al. 2017). `task.train_ways`, `train_shots` and `train_queries` are not used.
    """

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    drops_features: ClassVar[bool] = True

    batch_size: int = Field(16, ge=1)
    """pictures in a mini-batch of training"""


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
    drops_features: ClassVar[bool] = True

    name: Literal["protonet"] = "protonet"


class _Baseline(BatchTrained):
    eval_inner_steps: int = Field(100, ge=0)
    """mini-batch steps in which the new head is fitted to a support set"""
    eval_inner_batch: int = Field(4, ge=1)
    """examples per mini-batch of the fit"""
    eval_inner_lr: float = Field(0.01, gt=0)
    """step size of the fit"""
    eval_momentum: float = Field(0.9, ge=0, lt=1)
    """momentum of the fit, and its dampening"""
    eval_weight_decay: float = Field(1e-3, ge=0)
    """weight decay of the fit"""


class BaselineConfig(_Baseline):
    """Baseline (Chen et al. 2019): ordinary training, then a new linear head for each task."""

    name: Literal["baseline"] = "baseline"


class BaselinePPConfig(_Baseline):
    """Baseline++ (Chen et al. 2019): as Baseline, with a head of cosine similarities."""

    name: Literal["baselinepp"] = "baselinepp"
    scale: float = Field(2.0, gt=0)
    """factor of the cosines in training"""
    eval_scale: float = Field(2.0, gt=0)
    """factor of the cosines in validation and test"""


MethodConfig = Annotated[
    MAMLConfig
    | FOMAMLConfig
    | ANILConfig
    | ReptileConfig
    | ProtoNetConfig
    | BaselineConfig
    | BaselinePPConfig,
    Field(discriminator="name"),
]
