"""Recipes: which cells, in which layouts, under which light."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Target
from dinocell.synthesis import fluorescence, histology, layouts, transmitted
from dinocell.synthesis.layouts import Layout
from dinocell.synthesis.scene import Scene

DIAMETERS = (8.0, 200.0)
"""Smallest and largest median diameter of cells, in pixels."""

Render = Callable[[np.random.Generator, Scene], NDArray[np.float32]]
"""Function that returns what a microscope shows of a scene, values about 0 to 1, gray or RGB."""


@dataclass(frozen=True)
class Recipe:
    """A kind of image.

    Attributes
    ----------
    title : str
        What it shows, for people.
    group : str
        Kind of microscopy: fluorescence, transmitted, qpi or histology.
    annotates : {"cells", "nuclei"}
        Target that the labels outline.
    render : callable
        The optics.
    layouts : dict
        Layouts of cells, and how often each is drawn.
    largest : float
        Largest median diameter, in pixels, that such images have.
    """

    title: str
    group: str
    annotates: Target
    render: Render
    layouts: dict[Layout, float]
    largest: float = DIAMETERS[1]


_ADHERENT: dict[Layout, float] = {
    layouts.round_cells: 1,
    layouts.spread_cells: 3,
    layouts.spindle_cells: 2,
    layouts.stellate_cells: 1,
    layouts.mixed_cells: 3,
    layouts.colonies: 2,
    layouts.sheet: 1,
}
_ANY: dict[Layout, float] = {
    **_ADHERENT,
    layouts.rod_chains: 1,
    layouts.packed_rods: 1,
    layouts.round_cells: 2,
}
_NUCLEI: dict[Layout, float] = {layouts.nuclei: 1}

RECIPES: dict[str, Recipe] = {
    "fluorescence_cells": Recipe(
        "fluorescent cytoplasm, whole cells",
        "fluorescence",
        "cells",
        fluorescence.cytoplasm,
        {**_ADHERENT, layouts.round_cells: 0.5, layouts.packed_rods: 0.5},
    ),
    "membrane": Recipe(
        "fluorescent membranes, whole cells",
        "fluorescence",
        "cells",
        fluorescence.membrane,
        {layouts.sheet: 4, layouts.colonies: 3, layouts.spread_cells: 1, layouts.round_cells: 1},
    ),
    "fluorescence_nuclei": Recipe(
        "fluorescent nuclei", "fluorescence", "nuclei", fluorescence.nuclei, _NUCLEI, 150
    ),
    "phase": Recipe("phase contrast", "transmitted", "cells", transmitted.phase_contrast, _ANY),
    "confluent_phase": Recipe(
        "sheet of cells, phase contrast or brightfield",
        "transmitted",
        "cells",
        transmitted.confluent_phase,
        {layouts.sheet: 3, layouts.colonies: 1},
    ),
    "dic": Recipe(
        "differential interference contrast", "transmitted", "cells", transmitted.interference_contrast, _ANY
    ),
    "brightfield": Recipe("defocused brightfield", "transmitted", "cells", transmitted.brightfield, _ANY),
    "qpi": Recipe("quantitative phase: thickness", "qpi", "cells", transmitted.quantitative_phase, _ANY),
    "histology": Recipe(
        "nuclei in tissue, haematoxylin and eosin, RGB",
        "histology",
        "nuclei",
        histology.haematoxylin_eosin,
        _NUCLEI,
        80,
    ),
}
"""Recipes by name."""
