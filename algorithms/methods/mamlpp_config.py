"""The settings of MAML++. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from metaray.algorithms.methods.method_section import MethodSection, SecondOrder


class MAMLPlusPlusConfig(MethodSection):
    """MAML++ (Antoniou et al. 2019): MAML with five changes, each of which can be switched off."""

    summary: ClassVar[str] = "MAML with multi-step loss, learned rates and norms of each inner step"
    paper: ClassVar[str] = "Antoniou, Edwards & Storkey, ICLR 2019, arXiv 1810.09502"
    implementation: ClassVar[str] = "metaray.algorithms.methods.mamlpp:MAMLPlusPlus"

    name: Literal["mamlpp"] = "mamlpp"
    inner_steps: int = Field(5, ge=1, le=10_000)
    """inner gradient steps, in training as in test: each has separate rates and norms"""
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
    @override
    def anneals(self) -> bool:
        """With the paper's settings twice: the losses that count, and the order of derivatives."""
        return self.multi_step_share > 0 or self.first_order_share > 0

    @override
    def phase(self, progress: float) -> str | None:
        """None while the weights of the losses move; then by the order of derivatives."""
        if progress < self.multi_step_share:
            return None
        return "first order" if progress < self.first_order_share else "exact"
