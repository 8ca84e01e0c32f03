"""What holds for the settings of every method. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from metaray.algorithms.configs import BatchNormMode, NamedSection

SecondOrder = Literal["auto", "unrolled", "recursion"]


class MethodSection(NamedSection):
    """The settings of a method, and what holds for all of its settings."""

    fixed_head: ClassVar[bool] = True
    """has one output per class, so that training and test have the same number of ways"""
    learns_regression: ClassVar[bool] = True
    """labels may be numbers"""
    of_frozen_features: ClassVar[bool] = False
    """made for features that are good already: by default nothing is trained"""
    transductive: ClassVar[bool] = False
    """learns from the other queries of an episode, unless `evaluate.batch_norm` is `inductive`"""
    labels_are_inputs: ClassVar[bool] = False
    """labels enter the network itself, whose weights need not treat all classes alike"""
    drops_features: ClassVar[bool] = False
    """gives the network the key that DropBlock needs"""

    @property
    def most_ways(self) -> int | None:
        """Most classes that a task may have; None: any number."""
        return None

    @property
    def anneals(self) -> bool:
        """Whether its loss or gradient changes with the share of the outer steps that are done."""
        return False

    def phase(self, progress: float) -> str | None:
        """The phase of the training at this share of its steps; all its steps compute the same.

        None: each step differs from the next one, so it cannot be recorded as a CUDA graph.
        """
        return None if self.anneals else "all"


class GradientConfig(MethodSection):
    """A method that takes gradient steps on a task."""

    inner_steps: int = Field(1, ge=0)
    """inner gradient steps in training"""
    eval_inner_steps: int = Field(3, ge=0)
    """inner gradient steps in validation and test"""
    inner_lr: float = Field(0.4, gt=0)
    """inner step size, for a loss that is the mean over the support set"""
    train_batch_norm: BatchNormMode = "transductive"
    """statistics for the query set in training: its own, or those of the support set"""


class BatchTrained(MethodSection):
    """A method that trains on mini-batches over all training classes, and is tested on episodes.

    A task of an outer step is one mini-batch; several are normalised apart (ghost batch norm,
    Hoffer et al. 2017). `task.train_ways`, `train_shots` and `train_queries` are not used.
    """

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    drops_features: ClassVar[bool] = True

    batch_size: int = Field(16, ge=1)
    """images in a mini-batch of training"""
    num_classes: int | None = Field(None, ge=2)
    """classes of the head in training; as many as the training set has unless set"""
