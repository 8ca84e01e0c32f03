"""Knowledge distillation: a student learns what a frozen teacher says of images.

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
  1907.09682): the squared error of the rows of ``F F^T``, scaled to length 1.

hint and similarity need neither labels nor classes, so an embedding can be distilled by them.

The teacher is normalised by its running statistics and has no gradient. It is among the buffers, so
that it moves with the state to a device and a checkpoint is whole by itself.

Deviations: hints are learned together with the rest (FitNets: first), from the last features alone;
the squared error is a mean over features rather than half a sum. Attention is that of the last
maps, by the mean square of the difference, as in the authors' code (the paper: its length); of two
sizes of map the larger is averaged down. Similarities are those within a shard.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.errors import InputError
from metaray.algorithms.losses import metrics_of_batch
from metaray.algorithms.methods.embedding_based import unit_length
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import HEAD, apply_head, init_head
from metaray.algorithms.models.norm import is_norm
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.backbone_objective import BackboneObjective, detached
from metaray.algorithms.transfer.dense import apply_dense, init_dense
from metaray.algorithms.transfer.distill_config import DistillConfig
from metaray.algorithms.transfer.objective import Forward, Networks, Shard, Start, View

_HEAD, _TEACHER, _REGRESSOR = "head", "teacher", "regressor"


class Distillation(BackboneObjective):
    """A student on a backbone.

    Args:
        config: its settings.
        networks: student and teacher, who see the same images, and the classes.

    Raises:
        InputError: a network lacks what a term of the loss needs.
    """

    own_parts = (_HEAD, _REGRESSOR, _TEACHER)

    def __init__(self, config: DistillConfig, networks: Networks) -> None:
        super().__init__(networks)
        if networks.teacher is None:
            raise InputError("distillation needs a teacher: set job.teacher to its run directory")
        if config.attention_weight:
            _check_maps(student=self.backbone, teacher=networks.teacher)
        self.num_classes = networks.num_classes if config.classifies else None
        self.config = config
        self.teacher = networks.teacher
        transform = None
        if config.augment:
            from metaray.algorithms.transfer.augment import standard_transform  # torchvision

            transform = standard_transform(networks.input_shape)
        self.views = (View(labelled=config.label_weight > 0, transform=transform),)

    @override
    def init_own(self, generator: torch.Generator) -> Tensors:
        """The student's head, and the regressor of hints."""
        own: Tensors = {}
        if self.num_classes is not None:
            own |= init_head(generator, self.backbone.feature_dim, self.num_classes)
        if self.config.hint_weight:
            sizes = [
                b.map_shape[0] if self._convolves else b.feature_dim
                for b in (self.backbone, self.teacher)
            ]
            own |= init_dense(generator, _REGRESSOR, sizes)
        return own

    @override
    def init_buffers(self, params: Tensors, start: Start, generator: torch.Generator) -> Tensors:
        """The teacher.

        Raises:
            InputError: it lacks what a term of the loss needs, or statistics to normalise by.
        """
        if start.teacher is None:
            raise InputError("distillation needs a teacher: set job.teacher to its run directory")
        _check_statistics(self.teacher, start.teacher)
        if self.config.soft_weight:
            _check_classifier(start.teacher.params, self.num_classes)
        everything = {**start.teacher.params, **start.teacher.buffers}
        return {f"{_TEACHER}.{name}": t.detach().clone() for name, t in everything.items()}

    @override
    def forward(self, state: State, shard: Shard, progress: float) -> Forward:
        """Features and logits of the student, and ``teacher_...`` for those of the teacher."""
        x = shard.images[0]
        features, batch_stats = self.train_features(state.params, x, shard.key)
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
            taught, _ = self.teacher.apply(frozen, x, frozen)
            outputs["teacher_features"] = taught
            if self.config.soft_weight:
                outputs["teacher_logits"] = apply_dense(frozen, _HEAD, taught, _depth(frozen))
        return Forward(outputs, batch_stats)

    @override
    def loss(
        self, state: State, outputs: Tensors, labels: tuple[Tensor | None, ...], progress: float
    ) -> tuple[Tensor, Tensors]:
        """The weighted sum, and each term by itself; ``agreement`` is that with the teacher."""
        config, metrics = self.config, dict[str, Tensor]()
        own, taught = outputs["features"], outputs["teacher_features"].detach()
        terms: list[Tensor] = []

        def add(name: str, weight: float, term: Tensor) -> None:
            terms.append(weight * term)
            metrics[f"{name}_loss"] = term

        if config.label_weight:
            assert labels[0] is not None  # the view is labelled
            of_labels = metrics_of_batch(outputs["logits"], labels[0])
            add("label", config.label_weight, of_labels["loss"])
            metrics["accuracy"] = of_labels["accuracy"]
        if config.soft_weight:
            logits, aim = outputs["logits"], outputs["teacher_logits"].detach()
            add("soft", config.soft_weight, soft_loss(logits, aim, config.temperature))
            metrics["agreement"] = (logits.argmax(-1) == aim.argmax(-1)).to(own.dtype).mean()
        if config.hint_weight:
            add("hint", config.hint_weight, F.mse_loss(self.regress(state, own), taught))
        if config.attention_weight:
            maps = [
                f.unflatten(1, b.map_shape)
                for f, b in ((own, self.backbone), (taught, self.teacher))
            ]
            add("attention", config.attention_weight, attention_loss(*maps))
        if config.similarity_weight:
            add("similarity", config.similarity_weight, similarity_loss(own, taught))
        loss = torch.stack(terms).sum()
        return loss, detached({"loss": loss, **metrics})

    @override
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
        return self.backbone.map_shape[1:] == self.teacher.map_shape[1:]


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


def _depth(teacher: Mapping[str, Tensor]) -> int:
    return 1 + sum(n.startswith(f"{_HEAD}.hidden") and n.endswith(".weight") for n in teacher)


def _check_maps(**networks: Backbone) -> None:
    for name, backbone in networks.items():
        if backbone.map_shape[1] * backbone.map_shape[2] == 1:
            raise InputError(
                f"attention compares maps, and the {name} leaves a single pixel: set model.name = "
                "conv4_map, raise data.image_size, or set job.attention_weight = 0"
            )


def _check_statistics(backbone: Backbone, state: State) -> None:
    layers = [name.rpartition(".")[0] for name in state.params if is_norm(name)]
    lacking = [layer for layer in layers if f"{layer}.mean" not in state.buffers]
    if lacking and getattr(backbone, "norm", "batch") == "batch":
        raise InputError(
            f"the teacher has no running statistics for {lacking[0]}, as its method keeps none: "
            "estimate them on the data, or give a teacher that has them"
        )


def _check_classifier(params: Tensors, num_classes: int | None) -> None:
    other = "set job.soft_weight = 0 and job.hint_weight or job.similarity_weight"
    if any(name not in params for name in HEAD):
        raise InputError(
            "the teacher is an encoder without a linear classifier, so that it has no predictions "
            f"to teach: {other}"
        )
    if len(params[HEAD[0]]) != num_classes:
        raise InputError(
            f"the teacher knows {len(params[HEAD[0]])} classes and the data has {num_classes}: "
            f"give the data that it was trained on, or {other}"
        )
