"""Memory-augmented neural network.

Santoro, Bartunov, Botvinick, Wierstra & Lillicrap, "Meta-Learning with Memory-Augmented Neural
Networks", ICML 2016 (arXiv 1605.06065). An LSTM controller with an external memory
(``models/external_memory``) reads a sequence in which each label comes one step late::

    (x_1, 0), (x_2, y_1), ..., (x_S, y_{S-1}), (query, y_S)

so it has to keep an input until its label is known, bind the two, and find them again. The output
is linear in the controller's state and in what was read from memory. State and memory are blank at
the start of each episode.

Deviations. The paper presents 50 examples of five classes in one sequence and trains on the
prediction at every step, so that first sights count as well, and each step's past is its support.
Here the support set is the sequence and each query is its last step, taken from the same state; a
query's label is never presented, and the loss is that of the queries alone. With ``task.sampler =
sequence`` the support set is the beginning of such a sequence, of any length, and the accuracy by
shots of the class is the paper's by instance. The controller reads the features of the
backbone; the paper's own reads flattened images. Labels are one-hot for any number of ways; the
paper's 15-way labels are strings of five letters. Each head writes to a least used slot of its
own. The outer optimizer of the recipe is Adam in place of RMSProp. The paper
has images of 20 x 20 pixels (here 28 x 28 unless ``data.image_size = 20``), shifts and turns them
at random, which the recipe does not, and tests turned classes too (``evaluate.rotations =
classes``; the recipe tests upright ones).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.mann_config import MANNConfig
from metaray.algorithms.methods.sequence_based import SequenceBased
from metaray.algorithms.models.backbone import Backbone, glorot_uniform
from metaray.algorithms.models.external_memory import Memory, access, blank_memory
from metaray.algorithms.models.head import apply_head, init_head
from metaray.algorithms.models.lstm import init_lstm, lstm_cell
from metaray.algorithms.parameters import Tensors

_STRENGTH = 10.0  # key strength of a fresh network: its reads tell rows apart from the start


class Working(NamedTuple):
    """All that the network remembers between two steps."""

    hidden: Tensor  # [controller_width]
    cell: Tensor  # [controller_width]
    memory: Memory
    read: Tensor  # [read_heads * memory_width]


class MANN(SequenceBased):
    """An LSTM that writes inputs and labels to a memory, and finds them again by content."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: MANNConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config
        self.read_size = config.read_heads * config.memory_width

    @override
    def init_reader(self, generator: torch.Generator) -> Tensors:
        """The controller, the layer that addresses the memory, and the output layer."""
        width = self.config.controller_width
        inputs = self.backbone.feature_dim + self.num_outputs + self.read_size
        heads = self.config.read_heads
        address_bias = torch.zeros(self.read_size + 2 * heads)
        address_bias[self.read_size : self.read_size + heads] = _STRENGTH
        return {
            **init_lstm(generator, "controller", inputs, width),
            "access.weight": glorot_uniform(generator, len(address_bias), width),
            "access.bias": address_bias,
            **init_head(generator, width + self.read_size, self.num_outputs),
        }

    @override
    def read(self, params: Tensors, features: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
        """Step through the support set, then one step for each query from where that led."""
        late = torch.cat([torch.zeros_like(labels[:1]), labels])
        working = self.blank(features)
        for x, label in zip(features, late[:-1], strict=True):
            working = self.step(params, working, x, label)

        def output(query: Tensor) -> Tensor:
            last = self.step(params, working, query, late[-1])
            return apply_head(params, torch.cat([last.hidden, last.read]))

        outputs: Tensor = vmap(output)(queries)
        return outputs

    def blank(self, like: Tensor) -> Working:
        """What is remembered before the first step: nothing."""
        config = self.config
        return Working(
            hidden=like.new_zeros(config.controller_width),
            cell=like.new_zeros(config.controller_width),
            memory=blank_memory(config.memory_slots, config.memory_width, config.read_heads, like),
            read=like.new_zeros(self.read_size),
        )

    def step(self, params: Tensors, working: Working, x: Tensor, label: Tensor) -> Working:
        """Present features ``x`` ``[F]`` with the label ``[num_outputs]`` of the step before."""
        heads = self.config.read_heads
        inputs = torch.cat([x, label, working.read])
        hidden, cell = lstm_cell(params, "controller", inputs, (working.hidden, working.cell))
        address = F.linear(hidden, params["access.weight"], params["access.bias"])
        keys, strengths, gates = address.split([self.read_size, heads, heads])
        memory, read = access(
            working.memory,
            keys.tanh().view(heads, -1),
            F.softplus(strengths),
            gates.sigmoid(),
            self.config.usage_decay,
        )
        return Working(hidden, cell, memory, read.flatten())
