"""Layers without napari: what the plugin reads of them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False)
class FakeLayer:
    """Attributes of an image layer that `dinocell.napari.sources` reads."""

    data: Any
    rgb: bool = False
    multiscale: bool = False
    name: str = "image"
    metadata: dict = field(default_factory=dict)

    @property
    def ndim(self):
        return self.data.ndim - self.rgb

    @property
    def axis_labels(self):
        return tuple(f"-{number}" for number in range(self.ndim, 0, -1))

    @property
    def scale(self):
        return np.ones(self.ndim)

    @property
    def units(self):
        return ("pixel",) * self.ndim
