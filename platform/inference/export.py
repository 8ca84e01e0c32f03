"""A learner for other programs: ``torch.export`` and ONNX files, which are checked."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim
from typing_extensions import override

from metaray.algorithms.algorithm import Algorithm, State
from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.embedding_based import EmbeddingBased, Support
from metaray.algorithms.methods.feature_head import FeatureHead
from metaray.algorithms.methods.nearest_mean import NearestMean
from metaray.algorithms.methods.sequence_based import SequenceBased
from metaray.algorithms.parameters import Tensors
from metaray.platform.inference.learner import Learner

TOLERANCE = 1e-3
"""largest difference of an output from the learner's, relative to the largest output"""
_MOST = 4096  # pictures of a batch

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Inputs to compare on."""

    support_x: Tensor  # [S, C, H, W]
    support_y: Tensor  # [S]
    query_x: Tensor  # [B, C, H, W]

    @property
    def one_hot(self) -> Tensor:
        """Labels ``[S, N]``."""
        return torch.eye(int(self.support_y.max()) + 1)[self.support_y]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written."""

    file: str
    inputs: tuple[str, ...]
    output: str
    difference: float
    """largest from the learner's output, relative to the largest output"""


class _Network(nn.Module):
    """The state of a learner as buffers, which an exported file holds."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.algorithm: Algorithm = learner.algorithm
        self.encoder = learner.encoder
        calibration = learner.spec.calibration
        self.temperature = 1.0 if calibration is None else calibration.temperature
        self._names = {part: list(named) for part, named in learner.state._asdict().items()}
        for part, named in learner.state._asdict().items():
            for number, tensor in enumerate(named.values()):
                self.register_buffer(f"{part}{number}", tensor.detach().cpu().float())

    def inputs(self, x: Tensor) -> Tensor:
        """Of the network, from pictures."""
        return x if self.encoder is None else self.encoder(x)

    def state(self) -> State:
        """Parameters and buffers by name."""
        parts: dict[str, Tensors] = {
            part: {name: getattr(self, f"{part}{number}") for number, name in enumerate(names)}
            for part, names in self._names.items()
        }
        return State(**parts)


class Classifier(_Network):
    """Probabilities ``[B, N]`` of queries, with the support set as an input."""

    @override
    def forward(self, support_x: Tensor, support_labels: Tensor, query_x: Tensor) -> Tensor:
        """Support ``[S, C, H, W]`` with one-hot labels ``[S, N]``, queries ``[B, C, H, W]``."""
        assert isinstance(self.algorithm, EmbeddingBased)
        state = self.state()
        support = Support(
            state.params,
            self.inputs(support_x),
            support_labels.argmax(-1),
            support_labels,
            state.buffers,
        )
        logits, _ = self.algorithm.logits(support, self.inputs(query_x))
        return torch.softmax(logits / self.temperature, dim=-1)


class Embedding(_Network):
    """Features ``[B, F]`` of pictures, normalised by the statistics of the training."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Pictures ``[B, C, H, W]``."""
        state = self.algorithm.unadapted(self.state())
        features, _ = self.algorithm.backbone.apply(state.params, self.inputs(x), state.buffers)
        return features


class EmbeddingBySupport(_Network):
    """Features ``[B, F]`` of pictures, normalised by the statistics of a support set: the network
    of a method that adapts all of it, before it does."""

    @override
    def forward(self, support_x: Tensor, x: Tensor) -> Tensor:
        """Support ``[S, C, H, W]`` and pictures ``[B, C, H, W]``."""
        params = self.algorithm.unadapted(self.state()).params
        _, stats = self.algorithm.backbone.apply(params, self.inputs(support_x), None)
        features, _ = self.algorithm.backbone.apply(params, self.inputs(x), stats)
        return features


Inputs = Callable[[Task], tuple[Tensor, ...]]


def is_metric(learner: Learner) -> bool:
    """Whether a support set can be an input of an exported file.

    Nothing reads it in steps or in parts, and no equations are solved, which ONNX cannot.
    """
    algorithm = learner.algorithm
    in_context = getattr(learner.spec.method, "full_context", False)
    return (
        isinstance(algorithm, EmbeddingBased)
        and not isinstance(algorithm, SequenceBased)
        and (isinstance(algorithm, NearestMean) or not isinstance(algorithm, FeatureHead))
        and not in_context
        and not getattr(learner.spec.method, "labels_are_inputs", False)
    )


def export_networks(learner: Learner, folder: Path, tasks: Sequence[Task]) -> list[Exported]:
    """Write ``embedding`` and, of a metric method, ``classifier`` as ``.pt2`` and ``.onnx``.

    Args:
        learner: the model.
        folder: that exists.
        tasks: two or more of different sizes; each file is loaded again and compared on them.

    Raises:
        InputError: the packages for ONNX are missing, or a file does not compute the same.
    """
    _check_packages()
    learner = learner.on("cpu")
    support, batch = Dim("support", min=2, max=_MOST), Dim("batch", min=1, max=_MOST)
    classes = Dim("classes", min=2, max=_MOST)
    written = []
    backbone_stats = learner.algorithm.backbone.init(torch.Generator().manual_seed(0))[1]
    if backbone_stats.keys() <= learner.state.buffers.keys():
        written += _both(
            Embedding(learner), folder / "embedding", lambda task: (task.query_x,),
            {"x": {0: batch}}, tasks,
        )  # fmt: skip
    else:
        written += _both(
            EmbeddingBySupport(learner), folder / "embedding",
            lambda task: (task.support_x, task.query_x),
            {"support_x": {0: support}, "x": {0: batch}}, tasks,
        )  # fmt: skip
    if is_metric(learner):
        shapes = {
            "support_x": {0: support},
            "support_labels": {0: support, 1: classes},
            "query_x": {0: batch},
        }
        written += _both(
            Classifier(learner), folder / "classifier",
            lambda task: (task.support_x, task.one_hot, task.query_x), shapes, tasks,
        )  # fmt: skip
    return written


def _both(
    module: nn.Module, stem: Path, inputs: Inputs, shapes: dict[str, Any], tasks: Sequence[Task]
) -> list[Exported]:
    """Write one network in both forms, and compare each with ``module``."""
    module.eval()
    with torch.no_grad(), _silence():
        program = torch.export.export(module, inputs(tasks[0]), dynamic_shapes=shapes)
        expected = [module(*inputs(task)).numpy() for task in tasks]
        as_torch, as_onnx = stem.with_suffix(".pt2"), stem.with_suffix(".onnx")
        torch.export.save(program, as_torch)
        converted = torch.onnx.export(program, dynamo=True)
        assert converted is not None
        converted.save(as_onnx)
        loaded = torch.export.load(as_torch).module()
        from_torch = [loaded(*inputs(task)).numpy() for task in tasks]
        from_onnx = _run_onnx(as_onnx, [inputs(task) for task in tasks])
    names, output = tuple(shapes), "probabilities" if stem.name == "classifier" else "features"
    return [
        Exported(file=path.name, inputs=names, output=output,
                 difference=_difference(path, found, expected))
        for path, found in ((as_torch, from_torch), (as_onnx, from_onnx))
    ]  # fmt: skip


def _run_onnx(path: Path, given: Sequence[tuple[Tensor, ...]]) -> list[Array]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return [
        session.run(None, {n: t.numpy() for n, t in zip(names, tensors, strict=True)})[0]
        for tensors in given
    ]


def _difference(path: Path, found: Sequence[Array], expected: Sequence[Array]) -> float:
    """The largest, relative to the largest expected value; InputError where it is too large."""
    scale = max(float(np.abs(one).max()) for one in expected) or 1.0
    largest = max(
        float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True)
    ) / scale  # fmt: skip
    if not largest <= TOLERANCE:
        raise InputError(
            f"{path.name} does not compute what the model does (relative difference {largest:.2g}):"
            " export without it, with --no-onnx"
        )
    return largest


def _check_packages() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"ONNX files need the package {error.name}: pip install 'metaray[export]', or export "
            "without them with --no-onnx"
        ) from None


@contextlib.contextmanager
def _silence() -> Any:
    """torch's exporter prints its steps."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
