r"""What a layer with rules is: four functions over a leading task axis.

Meta-gradients need a layer's value, its derivative, and both of them along a direction:

``forward``            ``y = f(p, x)``
``backward``           ``(gx, gp)``, the derivatives of ``<f(p, x), gy>``
``tangent``            ``yd``, the derivative of ``y`` along ``(pd, xd)``
``backward_tangent``   ``(gxd, gpd)``, the derivative of ``(gx, gp)`` along ``(pd, xd, gyd)``

What one of them computes and a later one needs is kept on a tape, so nothing is computed twice. A
product of Hessian and vector is then ``tangent`` through all layers and ``backward_tangent`` back
(Pearlmutter 1994); that the tape of the inner step is kept for it is the idea of MixFlow-MG
(Kemaev et al. 2025, arXiv 2505.00793).

Every tensor has a leading axis of T tasks, the parameters too: after an inner step they differ from
task to task. Images are ``[T, B, H, W, C]``, channels last, so that a convolution is a batched
matrix product. Parameters lie as the layer multiplies with them (``pack``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor
from typing_extensions import override

from metaray.algorithms.parameters import Tensors

Params = Mapping[str, Tensor]


class Pulled(NamedTuple):
    """What ``backward`` gives."""

    x: Tensor | None
    """derivative with respect to the input; None where it was not asked for"""
    params: Tensors
    """derivatives with respect to the layer's parameters, by name"""
    memory: Any = None
    """what ``backward_tangent`` needs of this computation"""


class Layer(ABC):
    """A function of parameters and an input, and its three derivatives.

    ``tape`` is what ``forward`` returned, ``moved`` what ``tangent`` returned, ``memory`` that of
    ``backward``. A tangent that is missing (of a parameter) or None (of the input) is zero.
    """

    names: tuple[str, ...] = ()
    """its parameters"""

    def pack(self, name: str, value: Tensor) -> Tensor:
        """The parameter ``name``, ``[T, ...]`` as the network has it, as the layer has it."""
        return value

    def unpack(self, name: str, value: Tensor) -> Tensor:
        """The inverse of ``pack``."""
        return value

    def prepare(self, x: Tensor, rows: int | None) -> Any:
        """Inputs ``[T, B, *input_shape]`` as this layer takes them, if it is a network's first:
        what does not depend on parameters is done once for all steps. ``rows`` as of ``forward``.
        """
        return x

    @abstractmethod
    def forward(self, p: Params, x: Any, rows: int | None) -> tuple[Tensor, Any]:
        """The output, and the tape. Statistics are those of the first ``rows`` examples of each
        task, or of all (None)."""

    def statistics(self, p: Params, tape: Any) -> Tensors:
        """The normalisation statistics that ``forward`` used, ``[T, C]``: mean, biased variance."""
        return {}

    @abstractmethod
    def backward(self, p: Params, tape: Any, gy: Tensor, need_x: bool) -> Pulled:
        """Derivatives of ``<output, gy>``; that of the input only where ``need_x``."""

    @abstractmethod
    def tangent(self, p: Params, tape: Any, pd: Params, xd: Tensor | None) -> tuple[Tensor, Any]:
        """The output's derivative along ``pd`` and ``xd``, one of which is given; and what moved.

        Of a forward pass over all rows' statistics.
        """

    @abstractmethod
    def backward_tangent(
        self,
        p: Params,
        tape: Any,
        memory: Any,
        pd: Params,
        moved: Any,
        gyd: Tensor,
        need_x: bool,
    ) -> Pulled:
        """The derivative of what ``backward`` gave, along ``pd``, what ``moved``, and ``gyd``."""


class FlatLayer(Layer):
    """A layer without parameters and without curvature: linear, or linear in pieces."""

    @override
    def backward_tangent(
        self,
        p: Params,
        tape: Any,
        memory: Any,
        pd: Params,
        moved: Any,
        gyd: Tensor,
        need_x: bool,
    ) -> Pulled:
        return self.backward(p, tape, gyd, need_x)


class LinearMap(FlatLayer):
    """A layer that is linear in its input."""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """The output."""

    @abstractmethod
    def transposed(self, gy: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The transposed map of ``gy``, for inputs of ``shape``."""

    @override
    def forward(self, p: Params, x: Tensor, rows: int | None) -> tuple[Tensor, Any]:
        return self.apply(x), tuple(x.shape)

    @override
    def backward(self, p: Params, tape: Any, gy: Tensor, need_x: bool) -> Pulled:
        return Pulled(self.transposed(gy, tape) if need_x else None, {})

    @override
    def tangent(self, p: Params, tape: Any, pd: Params, xd: Tensor | None) -> tuple[Tensor, Any]:
        assert xd is not None
        return self.apply(xd), None
