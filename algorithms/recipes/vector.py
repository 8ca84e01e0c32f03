"""Settings for vectors (``features``): those of the drawn characters that carry over.

Features of a good encoder need little training, and no paper says how much: the steps are those
under which each method learns the drawn characters in minutes.
"""

from __future__ import annotations

from metaray.algorithms.recipes.character import CHARACTERS
from metaray.algorithms.recipes.quick import GLYPHS, HEADS, Recipe
from metaray.algorithms.registry import METHODS

_OF_IMAGES = ("data.", "model.", "evaluate.")


def vector_recipe(method: str, ways: int, shots: int) -> Recipe:
    """What ``method`` trains with on vectors: an MLP, or heads and CAML on them as they are."""
    of_characters = CHARACTERS[method](ways, shots) | GLYPHS[method]
    kept = {key: v for key, v in of_characters.items() if not key.startswith(_OF_IMAGES)}
    return kept | {
        "model.name": "identity" if method in (*HEADS, "caml") else "mlp",
        "task.train_ways": ways,  # a set may have few classes
        # an MLP has no batch norm, so only methods that are made for it learn from queries
        "evaluate.batch_norm": "transductive" if METHODS[method].transductive else "inductive",
    }
