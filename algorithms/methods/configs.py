"""What can be set about each method. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from metaray.algorithms.configs import BatchNormMode, Section
from metaray.algorithms.errors import InputError

SecondOrder = Literal["auto", "unrolled", "recursion"]


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

    @property
    def anneals(self) -> bool:
        """Whether its loss or gradient changes with the share of the outer steps that are done."""
        return False


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
    """inner gradient steps in training"""
    eval_inner_steps: int = Field(10, ge=0)
    """inner gradient steps in validation and test"""
    inner_lr: float = Field(0.1, gt=0)
    """inner step size, for a loss that is the mean over the support set"""
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

    @property
    def anneals(self) -> bool:
        """With the paper's settings twice: the losses that count, and the order of derivatives."""
        return self.multi_step_share > 0 or self.first_order_share > 0


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
    """inner gradient steps in training"""
    eval_inner_steps: int = Field(11, ge=0)
    """inner gradient steps in validation and test"""
    inner_lr: float = Field(0.311, gt=0)
    """inner step size, for a loss that is the mean over the support set"""
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
