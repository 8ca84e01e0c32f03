"""Knowledge distillation: a student learns what a frozen teacher says of pictures.

The loss is a weighted sum of terms, those of weight 0 left out.

* soft: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015 (arXiv
  1503.02531): ``T^2 KL(softmax(teacher / T) || softmax(student / T))``. Its gradient is that of the
  paper's cross-entropy, and T^2 keeps it level as T changes (section 2).
* label: cross-entropy with the labels.
* hint: Romero et al., "FitNets", ICLR 2015 (arXiv 1412.6550), equation 3: the squared error of the
  teacher's features as a regressor predicts them from the student's. A 1 x 1 convolution where both
  networks leave maps of the same size, else a linear layer.
* attention: Zagoruyko & Komodakis, "Paying More Attention to Attention", ICLR 2017 (arXiv
  1612.03928), equation 2: the squared error of the maps of ``sum_c A_c^2``, scaled to length 1.
* similarity: Tung & Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019 (arXiv
  1907.09682), equation 4: the squared error of the rows of ``F F^T``, scaled to length 1.

hint and similarity need neither labels nor classes, so an embedding can be distilled by them.

The teacher is normalised by its running statistics and has no gradient. It is among the buffers, so
that it moves with the state to a device and a checkpoint is whole by itself.

Deviations: hints are learned together with the rest (FitNets: first), from the last features alone;
the squared error is a mean over features rather than half a sum. Attention is that of the last
maps, by the mean square of the difference, as in the authors' code (the paper: its length); of two
sizes of map the larger is averaged down. Similarities are those within a shard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.embedding_based import unit_length
from metaray.algorithms.errors import InputError
from metaray.algorithms.losses import figures_of
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import HEAD, apply_head, init_head
from metaray.algorithms.models.norm import is_norm
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.backbone_objective import BackboneObjective
from metaray.algorithms.transfer.dense import apply_dense, init_dense
from metaray.algorithms.transfer.objective import Forward, Shard, Transform, View
from metaray.algorithms.transfer.objective_configs import DistillConfig

_TEACHER, _REGRESSOR = "teacher", "regressor"


class Teacher(NamedTuple):
    """A trained network."""

    backbone: Backbone
    state: State
    """its parameters, and its running statistics among the buffers"""
    logits: Callable[[Mapping[str, Tensor], Tensor], Tensor] | None = None
    """from its parameters and features ``[B, F]`` to ``[B, classes]``: ``apply_head`` for a linear
    head; None: it knows no classes"""


class Distillation(BackboneObjective):
    """A student on a backbone.

    Args:
        backbone: the student.
        num_classes: of the data, which are those of the teacher; None: no labels, no classes.
        config: its settings.
        teacher: what is distilled; it takes the student's pictures.
        transform: augmentation of the pictures that both see.

    Raises:
        InputError: the teacher or the data lack what a term of the loss needs.
    """

    own_parts = (HEAD[0].split(".")[0], _REGRESSOR, _TEACHER)

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int | None,
        config: DistillConfig,
        teacher: Teacher,
        transform: Transform | None = None,
    ) -> None:
        super().__init__(backbone)
        _check(config, num_classes, backbone, teacher)
        self.num_classes = num_classes if config.classifies else None
        self.config = config
        self.teacher = teacher
        self.views = (View(labelled=config.label_weight > 0, transform=transform),)

    def init_own(self, generator: torch.Generator) -> Tensors:
        """The student's head, and the regressor of hints."""
        own: Tensors = {}
        if self.num_classes is not None:
            own |= init_head(generator, self.backbone.feature_dim, self.num_classes)
        if self.config.hint_weight:
            sizes = [
                b.map_shape[0] if self._convolves else b.feature_dim
                for b in (self.backbone, self.teacher.backbone)
            ]
            own |= init_dense(generator, _REGRESSOR, sizes)
        return own

    def init_buffers(self, params: Tensors, generator: torch.Generator) -> Tensors:
        """The teacher."""
        params, stats = self.teacher.state
        return {f"{_TEACHER}.{name}": t.detach().clone() for name, t in (params | stats).items()}

    def forward(self, state: State, shard: Shard, progress: float) -> Forward:
        """Features and logits of the student, and ``teacher_...`` for those of the teacher."""
        x = shard.pictures[0]
        features, seen = self.train_features(state.params, x, shard.key)
        outputs = {"features": features}
        if self.num_classes is not None:
            outputs["logits"] = apply_head(state.params, features)
        prefix = f"{_TEACHER}."
        frozen = {
            name.removeprefix(prefix): t
            for name, t in state.buffers.items()
            if name.startswith(prefix)
        }
        with torch.no_grad():
            taught, _ = self.teacher.backbone.apply(frozen, x, frozen)
            outputs["teacher_features"] = taught
            if self.config.soft_weight and self.teacher.logits is not None:
                outputs["teacher_logits"] = self.teacher.logits(frozen, taught)
        return Forward(outputs, seen)

    def loss(
        self, state: State, outputs: Tensors, labels: tuple[Tensor | None, ...], progress: float
    ) -> tuple[Tensor, Tensors]:
        """The weighted sum, and each term by itself; ``agreement`` is that with the teacher."""
        config, figures = self.config, dict[str, Tensor]()
        own, taught = outputs["features"], outputs["teacher_features"].detach()
        terms: list[Tensor] = []

        def add(name: str, weight: float, term: Tensor) -> None:
            terms.append(weight * term)
            figures[f"{name}_loss"] = term.detach()

        if config.label_weight:
            assert labels[0] is not None  # the view is labelled
            of_labels = figures_of("classification", outputs["logits"], labels[0])
            add("label", config.label_weight, of_labels["loss"])
            figures["accuracy"] = of_labels["accuracy"]
        if config.soft_weight:
            logits, aim = outputs["logits"], outputs["teacher_logits"].detach()
            add("soft", config.soft_weight, soft_loss(logits, aim, config.temperature))
            figures["agreement"] = (logits.argmax(-1) == aim.argmax(-1)).to(own.dtype).mean()
        if config.hint_weight:
            add("hint", config.hint_weight, F.mse_loss(self.regress(state, own), taught))
        if config.attention_weight:
            maps = [
                f.unflatten(1, b.map_shape)
                for f, b in ((own, self.backbone), (taught, self.teacher.backbone))
            ]
            add("attention", config.attention_weight, attention_loss(*maps))
        if config.similarity_weight:
            add("similarity", config.similarity_weight, similarity_loss(own, taught))
        return torch.stack(terms).sum(), figures

    def predict(self, state: State, x: Tensor) -> Tensor | None:
        """Logits ``[B, num_classes]`` of the student; None where it has no head."""
        if self.num_classes is None:
            return None
        return apply_head(state.params, self.features(state, x))

    def regress(self, state: State, features: Tensor) -> Tensor:
        """The teacher's features as the regressor predicts them from the student's."""
        if not self._convolves:
            return apply_dense(state.params, _REGRESSOR, features, 1)
        places = features.unflatten(1, self.backbone.map_shape).movedim(1, -1)
        predicted = apply_dense(state.params, _REGRESSOR, places, 1)
        return predicted.movedim(-1, 1).flatten(1)

    @property
    def _convolves(self) -> bool:
        return self.backbone.map_shape[1:] == self.teacher.backbone.map_shape[1:]


def soft_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """``T^2`` times the divergence of the softened predictions, mean over ``[B, classes]``."""
    own = F.log_softmax(logits / temperature, dim=-1)
    aim = F.log_softmax(teacher_logits / temperature, dim=-1)
    return temperature**2 * F.kl_div(own, aim, reduction="batchmean", log_target=True)


def attention_loss(maps: Tensor, teacher_maps: Tensor) -> Tensor:
    """Mean squared difference of the attention of ``[B, C, H, W]`` and ``[B, C', H', W']``."""
    attentions = [m.square().sum(1, keepdim=True) for m in (maps, teacher_maps)]
    height, width = (min(sizes) for sizes in zip(*(a.shape[2:] for a in attentions), strict=True))
    own, aim = (
        unit_length(F.adaptive_avg_pool2d(a, (height, width)).flatten(1)) for a in attentions
    )
    return F.mse_loss(own, aim)


def similarity_loss(features: Tensor, teacher_features: Tensor) -> Tensor:
    """Mean squared difference of the similarities within ``[B, F]`` and ``[B, F']``."""
    own, aim = (unit_length(f @ f.T) for f in (features, teacher_features))
    return F.mse_loss(own, aim)


def _check(
    config: DistillConfig, num_classes: int | None, student: Backbone, teacher: Teacher
) -> None:
    if config.classifies and num_classes is None:
        raise InputError(
            "distillation without classes has no predictions to compare: set objective.soft_weight "
            "= 0, objective.label_weight = 0 and objective.hint_weight or similarity_weight"
        )
    if config.soft_weight and teacher.logits is None:
        raise InputError(
            "the teacher is an encoder without a classifier, so that it has no predictions to "
            "teach: set objective.soft_weight = 0 and objective.hint_weight or similarity_weight"
        )
    if config.attention_weight:
        for name, backbone in (("student", student), ("teacher", teacher.backbone)):
            if backbone.map_shape[1] * backbone.map_shape[2] == 1:
                raise InputError(
                    f"attention compares maps, and the {name} leaves a single pixel: set "
                    "model.name = conv4_map, raise data.image_size, or set "
                    "objective.attention_weight = 0"
                )
    params, stats = teacher.state
    lacking = [n for n in params if is_norm(n) and f"{n.rpartition('.')[0]}.mean" not in stats]
    if lacking and getattr(teacher.backbone, "norm", "batch") == "batch":
        raise InputError(
            f"the teacher has no running statistics for {lacking[0].rpartition('.')[0]}, as its "
            "method keeps none: estimate them on the data, or give a teacher that has them"
        )
