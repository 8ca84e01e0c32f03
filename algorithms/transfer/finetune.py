"""Fine-tuning: cross-entropy on labelled images, from where another training left the network.

Which layers learn, and how fast:

* all alike; only the head (linear probe); or the last k layer groups and the head;
* discriminative fine-tuning (Howard & Ruder, "Universal Language Model Fine-tuning for Text
  Classification", ACL 2018, arXiv 1801.06146, section 3.2): the rate of a layer group is that of
  the next one towards the head, divided by 2.6;
* gradual unfreezing (section 3.3 there): the head alone at first, then one more layer group after
  another. The paper unfreezes one per epoch; here they are spread over a share of the training.

L2-SP (Li, Grandvalet & Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional
Networks", ICML 2018, arXiv 1802.01483): a penalty on the squared distance from the start,
``alpha / 2 ||w - w0||^2``, in place of weight decay on the backbone. Of the paper's two penalties
that on the head is ``train.weight_decay``.

Frozen layers normalise by their running statistics, as in a test, and do not change them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.losses import metrics_of_batch
from metaray.algorithms.models.head import HEAD, apply_head, init_head
from metaray.algorithms.models.noise import bernoulli
from metaray.algorithms.models.norm import is_norm
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.backbone_objective import BackboneObjective
from metaray.algorithms.transfer.finetune_config import FinetuneConfig
from metaray.algorithms.transfer.layer_rates import layer_rates
from metaray.algorithms.transfer.objective import Forward, Networks, Shard, Start, View

ANCHOR = "anchor."
"""head of the names of the buffers that hold the start, for L2-SP"""
_DROP_STREAM = 1_000  # apart from those that networks use


class FineTuning(BackboneObjective):
    """A backbone and a linear head, trained on the labelled images of the source."""

    own_parts = ("head", "anchor")

    def __init__(self, config: FinetuneConfig, networks: Networks) -> None:
        super().__init__(networks)
        self.config = config
        self.num_classes = networks.num_classes
        transform = None
        if config.augment:
            from metaray.algorithms.transfer.augment import standard_transform  # torchvision

            transform = standard_transform(networks.input_shape)
        self.views = (View(transform=transform),)
        names = self.backbone.init(torch.Generator().manual_seed(0))[0]
        self._groups = [*self.backbone.layer_groups(names), list(HEAD)]

    @override
    def init_own(self, generator: torch.Generator) -> Tensors:
        """The head."""
        return init_head(generator, self.backbone.feature_dim, self.num_classes)

    @override
    def init_buffers(self, params: Tensors, start: Start, generator: torch.Generator) -> Tensors:
        """The start, where L2-SP needs it."""
        if not self.config.l2_sp:
            return {}
        pulled = {n: p for n, p in params.items() if n not in HEAD and not is_norm(n)}
        return {ANCHOR + name: p.clone() for name, p in pulled.items()}

    @override
    def forward(self, state: State, shard: Shard, progress: float) -> Forward:
        fixed = self._fixed_statistics(state, progress)
        key = shard.key if self.backbone_learns(progress) else None
        features, used = self.backbone.apply(state.params, shard.images[0], fixed, key)
        if self.config.dropout:
            kept = ~bernoulli(shard.key, _DROP_STREAM, tuple(features.shape), self.config.dropout)
            features = features * kept / (1 - self.config.dropout)
        batch_stats = {name: value for name, value in used.items() if name not in fixed}
        return Forward({"logits": apply_head(state.params, features)}, batch_stats)

    @override
    def loss(
        self, state: State, outputs: Tensors, labels: tuple[Tensor | None, ...], progress: float
    ) -> tuple[Tensor, Tensors]:
        """Cross-entropy, and the pull towards the start; logs ``loss`` and ``accuracy``."""
        (y,) = labels
        assert y is not None  # the view is labelled
        metrics = metrics_of_batch(outputs["logits"], y)
        loss = metrics["loss"]
        if self.config.l2_sp:
            distance = torch.stack(
                [
                    F.mse_loss(state.params[name.removeprefix(ANCHOR)], anchor, reduction="sum")
                    for name, anchor in state.buffers.items()
                    if name.startswith(ANCHOR)
                ]
            ).sum()
            metrics["distance"] = distance.detach().sqrt()
            loss = loss + self.config.l2_sp / 2 * distance
        return loss, metrics

    @override
    def predict(self, state: State, x: Tensor) -> Tensor:
        return apply_head(state.params, self.features(state, x))

    @override
    def groups(self, progress: float) -> dict[str, float]:
        rates = layer_rates(self.config, len(self._groups), progress)
        return {
            name: rate
            for rate, names in zip(rates, self._groups, strict=True)
            for name in names
            if rate != 1
        }

    @override
    def decays(self, name: str) -> bool:
        """The weights of a backbone that is pulled to its start do not decay as well."""
        return not self.config.l2_sp or name in HEAD

    @override
    def describe(self) -> dict[str, Any]:
        """The groups of layers that are told apart."""
        return {"layer_groups": len(self._groups)}

    def backbone_learns(self, progress: float) -> bool:
        """Whether any layer below the head does."""
        return any(layer_rates(self.config, len(self._groups), progress)[:-1])

    def _fixed_statistics(self, state: State, progress: float) -> Tensors:
        """Of the norms that are frozen."""
        factors = self.groups(progress)
        return {
            name: state.buffers[name]
            for name in self.encoder(state).buffers
            if factors.get(f"{name.rpartition('.')[0]}.scale") == 0
        }
