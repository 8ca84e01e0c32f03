"""CAML, context-aware meta-learning.

Fifty, Duan, Junkins, Amid, Leskovec, Re & Thrun, "Context-Aware Meta-Learning", ICLR 2024 (arXiv
2310.10971). A transformer without mask and position encoding reads a query and the whole support
set as one sequence (section 3)::

    [query, unknown], [x_1, label of x_1], ..., [x_n, label of x_n]

Each element is the embedding of an image beside that of its label. The labels of classes are an
ELMES (section 4; ``models/label_vectors``), vectors that are fixed and equally far from each other.
The label of the query is one learned vector. What the transformer makes of the query gives its
class. Each query is read by itself, so queries cannot see one another, and the order of the support
set does not matter. Which vector a class gets is drawn for each episode from its key, so that no
class is special; a model in use takes the draw of key 0.

Deviations:

* Logits are inner products of the label vectors of the classes with a linear function of the
  transformed query. As the vectors of an ELMES add up to zero, that is what a linear head with
  ``max_ways`` outputs can compute, but for a term that all classes share. So one network takes any
  number of ways up to ``max_ways``, and each of its vectors is trained. The paper has an MLP with
  one output for each class.
* Features have the same length, and a linear layer brings them to the width that labels leave. In
  the paper features are those of CLIP as they are.
* The embedding is trained too where it has parameters. ``model.name = identity`` over features
  that were computed before is the paper's frozen encoder (``docs/features.md``).
* The size: the paper's transformer has 24 layers of width 1024 (label: 256) and is trained on
  ImageNet-1k, Fungi, MSCOCO and WikiArt together. Nothing is dropped at random.
* The query does not attend to itself, and a fresh network is a soft nearest neighbour: attention
  compares images and passes on labels (``models/transformer``). Starts at random stay at chance for
  thousands of steps.
* The last layer is computed for the query alone, which changes nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.errors import InputError
from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.caml_config import CAMLConfig
from metaray.algorithms.methods.embedding_based import EmbeddingBased, Support, unit_length
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.label_vectors import deal, simplex
from metaray.algorithms.models.transformer import init_encoder, orthonormal, read_first
from metaray.algorithms.parameters import Tensors

_ENCODER, _IMAGE, _UNKNOWN, _OUTPUT = "reader", "image", "unknown", "output.weight"
_AT_ONCE = 2**23  # numbers in attention and elements of the queries that are read together


class CAML(EmbeddingBased):
    """A transformer over a query and the labelled support set."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: CAMLConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config

    @override
    def init_own(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        c = self.config
        features, image_width = self.backbone.feature_dim, c.width - c.label_width
        spread = max(1.0, image_width / features) ** 0.5  # numbers of an image are about 1
        params = {
            f"{_IMAGE}.weight": spread * orthonormal(generator, image_width, features),
            f"{_IMAGE}.bias": torch.zeros(image_width),
            _UNKNOWN: torch.zeros(c.label_width),
        }
        params |= init_encoder(generator, _ENCODER, c.layers, c.width, c.heads, c.label_width)
        params[_OUTPUT] = F.pad(torch.eye(c.label_width), (image_width, 0))  # the label
        return params, {}

    @override
    def predict_by_step(
        self, state: State, episode: Episode, ways: int, batch_norm: BatchNormMode
    ) -> Tensor:
        (support,) = self.adapt(state, episode.support_x, episode.support_y, ways, batch_norm)
        return self.predict(support._replace(task_key=episode.key), episode.query_x)[None]

    @override
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        features, queries, batch_stats = self.embed(support, x)
        key = support.y.new_zeros(()) if support.task_key is None else support.task_key
        labels = self.label_vectors(support.one_hot.shape[-1], key, features)
        return self.read(support.params, features, support.one_hot, queries, labels), batch_stats

    def label_vectors(self, ways: int, key: Tensor, like: Tensor) -> Tensor:
        """The label vector of each class, ``[ways, label_width]``, of length one.

        Raises:
            InputError: there are more classes than vectors.
        """
        c = self.config
        if ways > c.max_ways:
            raise InputError(
                f"caml was built for at most {c.max_ways} classes (method.max_ways), got a task "
                f"of {ways}: train with a larger method.max_ways, or give it fewer classes"
            )
        return deal(simplex(c.max_ways, c.label_width, like), ways, key)

    def read(
        self, params: Tensors, features: Tensor, one_hot: Tensor, queries: Tensor, labels: Tensor
    ) -> Tensor:
        """Logits ``[B, ways]`` of queries ``[B, F]``.

        The support set comes as features ``[S, F]`` and labels ``[S, ways]``; ``labels`` are the
        vectors of the classes, ``[ways, label_width]``.
        """
        scale = self.config.label_width**0.5  # numbers of a label are as large as those of images
        known = torch.cat([self._image(params, features), scale * one_hot @ labels], dim=-1)
        unknown = params[_UNKNOWN].expand(len(queries), -1)
        asked = torch.cat([self._image(params, queries), unknown], dim=-1)
        length = len(known) + 1
        at_once = max(1, _AT_ONCE // (length * (self.config.heads * length + self.config.width)))
        outputs = [self._outputs(params, known, some) for some in asked.split(at_once)]
        return torch.cat(outputs) @ labels.T

    def _image(self, params: Tensors, features: Tensor) -> Tensor:
        placed = features.shape[-1] ** 0.5 * unit_length(features)
        return F.linear(placed, params[f"{_IMAGE}.weight"], params[f"{_IMAGE}.bias"])

    def _outputs(self, params: Tensors, known: Tensor, asked: Tensor) -> Tensor:
        """``[B, label_width]`` for queries ``[B, width]`` beside a support set ``[S, width]``."""
        c = self.config
        sequence = torch.cat([asked[:, None], known.expand(len(asked), -1, -1)], dim=1)
        query = read_first(params, _ENCODER, sequence, c.layers, c.heads)
        return F.linear(query, params[_OUTPUT])
