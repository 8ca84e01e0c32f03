"""metaray: few-shot and meta-learning that runs the same on a laptop and on a Ray cluster.

>>> import metaray as mr
>>> trainer = mr.Trainer(mr.MAML(mr.models.Conv4(width=64), inner_lr=0.4), mr.datasets.Glyphs())
>>> run = trainer.fit(outer_steps=1000, out="runs/maml")  # doctest: +SKIP
>>> run.evaluate(episodes=600).accuracy  # doctest: +SKIP

``docs/python.md`` tells the rest. Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metaray.algorithms.errors import InputError as InputError
    from metaray.platform.api import datasets as datasets
    from metaray.platform.api import jobs as jobs
    from metaray.platform.api import models as models
    from metaray.platform.api.choosing import MethodChoice as MethodChoice
    from metaray.platform.api.choosing import choose as choose
    from metaray.platform.api.comparing import compare as compare
    from metaray.platform.api.comparison import Comparison as Comparison
    from metaray.platform.api.embedding import embed as embed
    from metaray.platform.api.exporting import export as export
    from metaray.platform.api.fitting import fit as fit
    from metaray.platform.api.hub import from_pretrained as from_pretrained
    from metaray.platform.api.hub import push_to_hub as push_to_hub
    from metaray.platform.api.loading import load as load
    from metaray.platform.api.methods import ANIL as ANIL
    from metaray.platform.api.methods import CAML as CAML
    from metaray.platform.api.methods import FOMAML as FOMAML
    from metaray.platform.api.methods import MAML as MAML
    from metaray.platform.api.methods import ImplicitMAML as ImplicitMAML
    from metaray.platform.api.methods import MANN as MANN
    from metaray.platform.api.methods import PTMAP as PTMAP
    from metaray.platform.api.methods import SNAIL as SNAIL
    from metaray.platform.api.methods import Baseline as Baseline
    from metaray.platform.api.methods import BaselinePlusPlus as BaselinePlusPlus
    from metaray.platform.api.methods import LaplacianShot as LaplacianShot
    from metaray.platform.api.methods import LinearDiscriminants as LinearDiscriminants
    from metaray.platform.api.methods import LogisticRegression as LogisticRegression
    from metaray.platform.api.methods import MAMLPlusPlus as MAMLPlusPlus
    from metaray.platform.api.methods import MatchingNetwork as MatchingNetwork
    from metaray.platform.api.methods import MetaSGD as MetaSGD
    from metaray.platform.api.methods import Method as Method
    from metaray.platform.api.methods import NearestMean as NearestMean
    from metaray.platform.api.methods import NearestNeighbours as NearestNeighbours
    from metaray.platform.api.methods import ProtoMAML as ProtoMAML
    from metaray.platform.api.methods import ProtoNet as ProtoNet
    from metaray.platform.api.methods import RelationNetwork as RelationNetwork
    from metaray.platform.api.methods import Reptile as Reptile
    from metaray.platform.api.methods import RidgeRegression as RidgeRegression
    from metaray.platform.api.methods import SiameseNetwork as SiameseNetwork
    from metaray.platform.api.run import Run as Run
    from metaray.platform.api.run import evaluate as evaluate
    from metaray.platform.api.scored import Evaluation as Evaluation
    from metaray.platform.api.sweeping import Sweep as Sweep
    from metaray.platform.api.sweeping import sweep as sweep
    from metaray.platform.api.trainer import Trainer as Trainer
    from metaray.platform.api.transfer import transfer as transfer
    from metaray.platform.callbacks.base import BackgroundCallback as BackgroundCallback
    from metaray.platform.callbacks.base import Callback as Callback
    from metaray.platform.inference.adapted_model import AdaptedModel as AdaptedModel
    from metaray.platform.inference.learner import Learner as Learner
    from metaray.platform.common.errors import Stopped as Stopped
    from metaray.platform.common.errors import TrainingError as TrainingError
    from metaray.platform.serve.client import Client as Client
    from metaray.tune_spaces.space import Choice as Choice
    from metaray.tune_spaces.space import Float as Float
    from metaray.tune_spaces.space import Int as Int

__version__ = "0.1.0"

# Where each name is, as the imports above say for type checkers and editors.
_NAMES = {
    "metaray.algorithms.errors": ["InputError"],
    "metaray.platform.api": ["datasets", "jobs", "models"],
    "metaray.platform.api.choosing": ["MethodChoice", "choose"],
    "metaray.platform.api.comparing": ["compare"],
    "metaray.platform.api.comparison": ["Comparison"],
    "metaray.platform.api.embedding": ["embed"],
    "metaray.platform.api.exporting": ["export"],
    "metaray.platform.api.fitting": ["fit"],
    "metaray.platform.api.hub": ["from_pretrained", "push_to_hub"],
    "metaray.platform.api.loading": ["load"],
    "metaray.platform.api.methods": [
        "ANIL", "CAML", "FOMAML", "MAML", "MANN", "PTMAP", "SNAIL", "Baseline", "BaselinePlusPlus",
        "ImplicitMAML", "LaplacianShot", "LinearDiscriminants", "LogisticRegression",
        "MAMLPlusPlus", "MatchingNetwork", "MetaSGD", "Method", "NearestMean",
        "NearestNeighbours", "ProtoMAML", "ProtoNet", "RelationNetwork", "Reptile",
        "RidgeRegression", "SiameseNetwork",
    ],
    "metaray.platform.api.run": ["Run", "evaluate"],
    "metaray.platform.api.scored": ["Evaluation"],
    "metaray.platform.api.sweeping": ["Sweep", "sweep"],
    "metaray.platform.api.trainer": ["Trainer"],
    "metaray.platform.api.transfer": ["transfer"],
    "metaray.platform.callbacks.base": ["BackgroundCallback", "Callback"],
    "metaray.platform.common.errors": ["Stopped", "TrainingError"],
    "metaray.platform.inference.adapted_model": ["AdaptedModel"],
    "metaray.platform.inference.learner": ["Learner"],
    "metaray.platform.serve.client": ["Client"],
    "metaray.tune_spaces.space": ["Choice", "Float", "Int"],
}  # fmt: skip
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    if home == "metaray.platform.api":
        return import_module(f"{home}.{name}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(["__version__", *_HOMES])
