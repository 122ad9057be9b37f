"""Draw an image of a recipe, with its labels."""

import zlib

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels
from dinocell.synthesis.camera import field_of_view, finish
from dinocell.synthesis.fields import log_uniform
from dinocell.synthesis.layouts import Layout, tidy
from dinocell.synthesis.recipes import RECIPES, Recipe
from dinocell.synthesis.scene import Scene
from dinocell.synthesis.settings import SynthesisSettings


def draw(settings: SynthesisSettings, index: int = 0) -> tuple[NDArray[np.uint8], Labels]:
    """Draw one image of a set, and its labels.

    Parameters
    ----------
    settings : SynthesisSettings
        An image has one median diameter, each doubling as likely as any other, at most half of its side.
    index : int
        Number of the image in the set, from 0. An image does not depend on the others.

    Returns
    -------
    image : uint8 array, shape (size, size) or (size, size, 3)
    labels : int32 array, shape (size, size)
        At least one cell; each is one 4-connected piece.
    """
    recipe = RECIPES[settings.recipe]
    rng = np.random.default_rng([settings.seed, index, zlib.crc32(settings.recipe.encode())])
    largest = min(settings.diameters[1], recipe.largest, settings.size / 2)
    diameter = log_uniform(rng, min(settings.diameters[0], largest), largest)
    seen = field_of_view(rng, (settings.size, settings.size))
    while True:  # until a cell lies in what is seen
        scene, inner = _arrange(rng, recipe, settings.size, diameter)
        labels = tidy(np.where(seen, scene.labels[inner], 0), max(9.0, 0.04 * diameter**2))
        if labels.any():
            return finish(rng, recipe.render(rng, scene)[inner], seen), labels


def _arrange(
    rng: np.random.Generator, recipe: Recipe, size: int, diameter: float
) -> tuple[Scene, tuple[slice, slice]]:
    """Draw the cells of a field that is larger than the image, and where in it the image lies.

    Cells beyond the image are cut by its border, and their halos reach into it.
    """
    pad = round(min(max(diameter / 2, 8), 48))
    choices: list[Layout] = list(recipe.layouts)
    weights = np.array([recipe.layouts[each] for each in choices], float)
    layout = choices[int(rng.choice(len(choices), p=weights / weights.sum()))]
    labels = tidy(layout(rng, size + 2 * pad, diameter), max(6.0, 0.2 * diameter**2))
    inner = slice(pad, pad + size)
    return Scene(labels, diameter), (inner, inner)
