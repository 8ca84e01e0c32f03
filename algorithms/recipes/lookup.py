"""The published settings of each method, as defaults that follow method, data and shape.

A recipe is a flat dict from config path to value. A run's config is built from the class defaults,
then the recipe, then the user's file, then ``--set``; so a user who names only a method and a data
set trains as its paper did. Each family of data has its own file.
"""

from __future__ import annotations

from metaray.algorithms.recipes.character import CHARACTERS
from metaray.algorithms.recipes.curve import curve_recipe
from metaray.algorithms.recipes.photograph import photograph_recipe
from metaray.algorithms.recipes.quick import GLYPHS, Recipe
from metaray.algorithms.recipes.vector import vector_recipe


def paper_defaults(method: str, data: str, ways: int, shots: int) -> Recipe:
    """The settings under which ``method`` was published for such a task.

    Args:
        method: a name in ``registry.METHODS``.
        data: a data set; drawn characters follow the Omniglot recipe, colour images that of
            miniImageNet, ``sinusoid`` and ``features`` their own.
        ways: classes per episode of the test.
        shots: labelled examples per class of the test.
    """
    if data == "sinusoid":
        return curve_recipe(method)
    if data == "features":
        return vector_recipe(method, ways, shots)
    recipe = CHARACTERS[method](ways, shots)
    if data == "glyphs":
        return recipe | GLYPHS[method]
    if data == "omniglot":
        return recipe
    if data in ("omniglot_runs", "fonts"):  # whose tasks are given; whose quarter turns are letters
        return {key: value for key, value in recipe.items() if not key.startswith("data.")}
    return recipe | photograph_recipe(method, data, ways, shots)
