"""The settings of MAML and first-order MAML. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from metaray.algorithms.methods.method_section import GradientConfig, SecondOrder


class MAMLConfig(GradientConfig):
    """MAML (Finn et al. 2017): differentiate through the inner gradient steps."""

    summary: ClassVar[str] = "learns an initialisation; exact gradient through the inner steps"
    paper: ClassVar[str] = "Finn, Abbeel & Levine, ICML 2017, arXiv 1703.03400"
    implementation: ClassVar[str] = "metaray.algorithms.methods.maml:MAML"

    name: Literal["maml"] = "maml"
    second_order: SecondOrder = "auto"
    """how the exact meta-gradient is computed: unrolled graph, or constant-memory recursion"""


class FOMAMLConfig(GradientConfig):
    """First-order MAML (Finn et al. 2017): the query gradient at the adapted weights."""

    summary: ClassVar[str] = "MAML without second derivatives: cheaper, nearly as good"
    paper: ClassVar[str] = "Finn, Abbeel & Levine, ICML 2017, section 5.2, arXiv 1703.03400"
    implementation: ClassVar[str] = "metaray.algorithms.methods.maml:MAML"

    name: Literal["fomaml"] = "fomaml"
