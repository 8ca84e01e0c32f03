"""Domain-adversarial neural networks (DANN).

Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand & Lempitsky, "Domain-Adversarial
Training of Neural Networks", JMLR 17 (2016), arXiv 1505.07818. Features f, label predictor y and
domain classifier d (equation 9); i runs over the source, j over the target::

    mean_i L_y(y(f(x_i)), y_i)  -  lambda (mean_i L_d(d(f(x_i)), 0) + mean_j L_d(d(f(x_j)), 1))

of which y and f seek the minimum and d the maximum. The gradient reversal layer before d makes it
one descent, in which only f sees lambda: d descends its own loss unscaled. lambda rises from 0 to 1
(``gradient_reversal.py``). L_d is the logistic loss.

Published on digits: batches of 64 source and 64 target images, SGD with momentum 0.9 and
0.01 / (1 + 10 p)^0.75, predictors of 100 and 100-100 hidden units.

Deviations: the feature extractor is any backbone of ours, by default with group norm, where the
paper's networks for digits have no norm; images are not centred at zero; there is no dropout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.backbone_objective import detached
from metaray.algorithms.transfer.dense import apply_dense, init_dense
from metaray.algorithms.transfer.gradient_reversal import reversal_at, reverse_gradient
from metaray.algorithms.transfer.objective import Forward, Shard
from metaray.algorithms.transfer.source_only import TwoStreams

_DOMAIN = "domain"


class DANN(TwoStreams):
    """Features from which classes can be told, and domains cannot."""

    own_parts = (*TwoStreams.own_parts, _DOMAIN)

    @override
    def init_own(self, generator: torch.Generator) -> Tensors:
        """Label predictor and domain classifier."""
        sizes = (self.backbone.feature_dim, *self.config.domain_hidden, 1)
        return super().init_own(generator) | init_dense(generator, _DOMAIN, sizes)

    @override
    def forward(self, state: State, shard: Shard, progress: float) -> Forward:
        """``logits`` of the source, and logits of being target: ``source_domain``, and so on."""
        source, target, batch_stats = self.both_features(state, shard)
        outputs = {"logits": self.label_logits(state, source)}
        strength = self.config.weight * reversal_at(progress)
        depth = len(self.config.domain_hidden) + 1
        for name, features in (("source", source), ("target", target)):
            logit = apply_dense(state.params, _DOMAIN, reverse_gradient(features, strength), depth)
            outputs[f"{name}_domain"] = logit[:, 0]
        return Forward(outputs, batch_stats)

    @override
    def loss(
        self, state: State, outputs: Tensors, labels: tuple[Tensor | None, ...], progress: float
    ) -> tuple[Tensor, Tensors]:
        """Cross-entropy on the source, and the domain classifier's loss on both."""
        metrics = self.source_metrics(outputs["logits"], labels[0])
        source, target = outputs["source_domain"], outputs["target_domain"]
        domain_loss = F.softplus(source).mean() + F.softplus(-target).mean()
        with torch.no_grad():
            right = (
                (source < 0).to(source.dtype).mean() + (target > 0).to(target.dtype).mean()
            ) / 2
        loss = metrics["loss"] + domain_loss
        metrics |= {
            "loss": loss,
            "label_loss": metrics["loss"],
            "domain_loss": domain_loss,
            "domain_accuracy": right,
        }
        return loss, detached(metrics)
