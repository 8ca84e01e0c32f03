"""ANIL: almost no inner loop.

Raghu, Raghu, Bengio & Vinyals, "Rapid Learning or Feature Reuse? Towards Understanding the
Effectiveness of MAML", ICLR 2020 (arXiv 1909.09157). MAML whose inner loop updates the head only;
the body moves in the outer loop alone.

The body does not change under adaptation, so its features are computed once: the inner loop runs
on features, and the meta-gradient with respect to them is pulled back through the body. That is
exactly MAML with an inner step size of zero in the body.

Deviation: none from the equations; losses are means over the examples, as in ``maml``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import vjp
from typing_extensions import override

from metaray.algorithms.algorithm import State, TaskGradient
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.inner_loop import InnerStep, Step, descend, meta_gradient, recursion
from metaray.algorithms.losses import Kind, loss_of, metrics_of
from metaray.algorithms.methods.anil_config import ANILConfig
from metaray.algorithms.methods.frozen_backbone import FrozenBackbone
from metaray.algorithms.methods.gradient_based import FastWeights, GradientBased, second_order_form
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import HEAD, apply_head
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.network import NetworkLoss, Queries

_SUPPORT = "support"  # features of the support set, among the parameters


class ANIL(FrozenBackbone, GradientBased):
    """The inner loop on the features of a body that it leaves alone."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: ANILConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs, config)
        self.config = config
        self.form = second_order_form(config.second_order, config.inner_steps)
        self._rates = dict.fromkeys(HEAD, config.inner_lr)

    @override
    def adapt(
        self,
        state: State,
        support_x: Tensor,
        support_y: Tensor,
        ways: int,
        batch_norm: BatchNormMode,
    ) -> list[Any]:
        """The body with the head after each of ``reported_steps``."""
        features, batch_stats = self.backbone.apply(state.params, support_x, None)
        trajectory = descend(
            lambda head: loss_of(self.kind, apply_head(head, features), support_y),
            {name: state.params[name] for name in HEAD},
            self._rates,
            self.config.eval_inner_steps,
        )
        stats = None if batch_norm == "transductive" else batch_stats
        return [FastWeights(state.params | trajectory[k], stats) for k in self.reported_steps]

    @override
    def head_outputs(self, adapted: FastWeights, features: Tensor) -> Tensor:
        return apply_head(adapted.params, features)

    @override
    def gradients_by_rules(
        self, state: State, episodes: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        params = self.network.pack(state.params, len(episodes.support_y))
        features, trace = self.body.forward(params, self.body.prepare(episodes.support_x))
        loss = NetworkLoss(self.head, self.kind, _SUPPORT, episodes.support_y)
        queries = Queries(self.network, self.kind, episodes, self.config.train_batch_norm)
        last = self.config.inner_steps
        result = recursion(
            [Step(loss, self._rates)] * last,
            {last: queries.gradient},
            params | {_SUPPORT: features},
        )
        through = self.body.backward(trace, result.gradient[_SUPPORT])[1]
        gradient = {name: result.gradient[name] for name in params}
        gradient |= {name: gradient[name] + part for name, part in through.items()}
        return TaskGradient(self.network.unpack(gradient), {}, result.aux[last])

    @override
    def outputs_by_rules(
        self, state: State, episodes: Episode, ways: int, batch_norm: BatchNormMode
    ) -> Tensor:
        params = self.network.pack(state.params, len(episodes.support_y))
        features, _ = self.body.forward(params, self.body.prepare(episodes.support_x))
        step = Step(NetworkLoss(self.head, self.kind, features, episodes.support_y), self._rates)
        embedded = Queries(self.body, self.kind, episodes, batch_norm).outputs([params])[:, 0]
        outputs = []
        for taken in range(self.config.eval_inner_steps + 1):
            params = step.taken(params)[0] if taken else params
            if taken in self.reported_steps:
                outputs.append(self.head.forward(params, embedded)[0])
        return torch.stack(outputs, 1)

    @override
    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """The exact meta-gradient: of the head through the inner loop, of the body through both."""

        def embed(body: Tensors) -> Tensors:
            support, batch_stats = self.backbone.apply(body, episode.support_x, None)
            stats = None if self.config.train_batch_norm == "transductive" else batch_stats
            query, _ = self.backbone.apply(body, episode.query_x, stats)
            return {"support": support, "query": query}

        def support_loss(params: Tensors) -> Tensor:
            return loss_of(self.kind, apply_head(params, params["support"]), episode.support_y)

        def query_loss(params: Tensors) -> tuple[Tensor, Tensors]:
            outputs = apply_head(params, params["query"])
            metrics = metrics_of(self.kind, outputs, episode.query_y)
            return metrics["loss"], metrics

        body = {name: p for name, p in state.params.items() if name not in HEAD}
        features, pull_back = vjp(embed, body)[:2]
        start = features | {name: state.params[name] for name in HEAD}
        num_steps = self.config.inner_steps
        steps = [InnerStep(support_loss, self._rates)] * num_steps
        gradient, metrics, _ = meta_gradient(self.form, steps, {num_steps: query_loss}, start)
        (body_gradient,) = pull_back({name: gradient[name] for name in features})
        return TaskGradient(
            {name: (gradient if name in HEAD else body_gradient)[name] for name in state.params},
            state.buffers,
            metrics[num_steps],
        )
