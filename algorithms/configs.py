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

    name: Literal[
        "conv4", "conv4_strided", "conv4_map", "resnet12", "wrn28_10", "torchvision", "mlp"
    ] = "conv4_strided"
    """conv4: four 3x3 blocks with max pooling; conv4_strided: stride 2 and mean over space;
    conv4_map: pooling in the first two blocks only, which leaves a feature map; resnet12 and
    wrn28_10: residual networks; torchvision: the network `arch`"""
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
    labels_are_inputs: ClassVar[bool] = False
    """labels enter the network itself, whose weights need not treat all classes alike"""
    drops_features: ClassVar[bool] = False
    """gives the network the key that DropBlock needs"""


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


class MAMLPlusPlusConfig(MethodSection):
    """MAML++ (Antoniou et al. 2019): MAML with five changes, each of which can be switched off."""

    name: Literal["mamlpp"] = "mamlpp"
    inner_steps: int = Field(5, ge=1)
    """inner gradient steps, in training as in test: each has rates and norms of its own"""
    inner_lr: float = Field(0.1, gt=0)
    """inner step size; with learned_rates where every one of them starts"""
    learned_rates: bool = True
    """meta-learn a step size per layer and inner step"""
    per_step_norm: bool = True
    """batch norm with scale and shift of each inner step"""
    running_statistics: bool = False
    """inductive evaluation normalises by running statistics of each inner step, as the paper says;
    else by the support set, which does better"""
    multi_step_share: float = Field(0.1, ge=0, le=1)
    """share of the outer steps in which the loss after every inner step counts, less and less; 0:
    only that after the last"""
    first_order_share: float = Field(0.5, ge=0, le=1)
    """share of the outer steps at the beginning that are first order; 0: none"""
    second_order: SecondOrder = "auto"
    """how the exact meta-gradient is computed: unrolled graph, or constant-memory recursion"""

    @property
    def eval_inner_steps(self) -> int:
        """As many as in training."""
        return self.inner_steps


class MetaSGDConfig(MethodSection):
    """Meta-SGD (Li et al. 2017): MAML with a meta-learned step size of each parameter."""

    name: Literal["metasgd"] = "metasgd"
    inner_steps: int = Field(1, ge=0)
    """inner gradient steps in training"""
    eval_inner_steps: int = Field(1, ge=0)
    """inner gradient steps in validation and test"""
    inner_lr_low: float = 0.005
    """step sizes start uniform between this"""
    inner_lr_high: float = 0.1
    """and this"""
    train_batch_norm: BatchNormMode = "transductive"
    """statistics for the query set in training: its own, or those of the support set"""
    second_order: SecondOrder = "auto"
    """how the exact meta-gradient is computed: unrolled graph, or constant-memory recursion"""

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.inner_lr_low > self.inner_lr_high:
            raise ValueError(
                f"method.inner_lr_low = {self.inner_lr_low} is above method.inner_lr_high = "
                f"{self.inner_lr_high}: step sizes start between the two"
            )
        return self


class ProtoMAMLConfig(_GradientBased):
    """ProtoMAML (Triantafillou et al. 2020): MAML from a head of prototypes."""

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False

    name: Literal["protomaml"] = "protomaml"
    inner_steps: int = Field(6, ge=0)
    eval_inner_steps: int = Field(11, ge=0)
    inner_lr: float = Field(0.31, gt=0)
    second_order: SecondOrder | Literal["none"] = "none"
    """none: first order, as published; else how the exact meta-gradient is computed"""


class MatchingConfig(MethodSection):
    """Matching networks (Vinyals et al. 2016): attention by cosine over the support set."""

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    drops_features: ClassVar[bool] = True

    name: Literal["matching"] = "matching"
    temperature: float = Field(1.0, gt=0)
    """divides the cosines before the softmax; 1 is the paper's equation"""
    full_context: bool = False
    """embed each example in the context of the whole support set (two LSTMs)"""


class RelationConfig(MethodSection):
    """Relation networks (Sung et al. 2018): a learned comparison of feature maps."""

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    drops_features: ClassVar[bool] = True

    name: Literal["relation"] = "relation"
    hidden_units: int = Field(8, ge=1)
    """units between the relation module's map and its score"""


class SiameseConfig(MethodSection):
    """Siamese networks (Koch et al. 2015): one embedding, trained on pairs or triplets."""

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    drops_features: ClassVar[bool] = True

    name: Literal["siamese"] = "siamese"
    loss: Literal["contrastive", "triplet"] = "contrastive"
    """of all pairs of an episode (Hadsell et al. 2006), or all triplets (Schroff et al. 2015)"""
    margin: float = Field(1.0, gt=0, le=4)
    """distance at which a pair of two classes is far enough apart (contrastive), or by which
    squared distances must differ (triplet; published with 0.2); embeddings have length 1"""


class MANNConfig(MethodSection):
    """Memory-augmented network (Santoro et al. 2016): an LSTM with an external memory."""

    labels_are_inputs: ClassVar[bool] = True

    name: Literal["mann"] = "mann"
    controller_width: int = Field(200, ge=1)
    """units of the LSTM"""
    memory_slots: int = Field(128, ge=1)
    """rows of the memory"""
    memory_width: int = Field(40, ge=1)
    """numbers in a row"""
    read_heads: int = Field(4, ge=1)
    """keys of a step; each reads, and writes to a least used row of its own"""
    usage_decay: float = Field(0.95, ge=0, lt=1)
    """share of the usage of a row that is left after a step"""

    @model_validator(mode="after")
    def _a_row_for_each_head(self) -> Self:
        if self.read_heads > self.memory_slots:
            raise InputError(
                f"each head of mann writes to a row of its own, got method.read_heads = "
                f"{self.read_heads} for method.memory_slots = {self.memory_slots}: lower the heads"
            )
        return self


class SNAILConfig(MethodSection):
    """SNAIL (Mishra et al. 2018): temporal convolutions and causal attention."""

    labels_are_inputs: ClassVar[bool] = True

    name: Literal["snail"] = "snail"
    width: int = Field(128, ge=4)
    """channels that each temporal convolution adds; keys and values of attention follow it"""
    sequence_length: int = Field(6, ge=2)
    """steps that the temporal convolutions span: support examples and one query; what is further
    back is reached by attention alone"""


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
    num_classes: int | None = Field(None, ge=2)
    """classes of the head in training; as many as the training set has unless set"""


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
    | MAMLPlusPlusConfig
    | MetaSGDConfig
    | ProtoMAMLConfig
    | MatchingConfig
    | RelationConfig
    | SiameseConfig
    | MANNConfig
    | SNAILConfig
    | BaselineConfig
    | BaselinePPConfig,
    Field(discriminator="name"),
]
