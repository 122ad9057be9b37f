"""Delete cells."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dinocell.editing.change import Change
from dinocell.editing.operations.operation import CellId, Operation, Outcome, Scene


class Delete(Operation):
    """Cells that become background.

    Attributes
    ----------
    ids : tuple of int
    """

    edit: Literal["delete"] = "delete"
    ids: Annotated[tuple[CellId, ...], Field(min_length=1)]

    def apply(self, scene: Scene) -> Outcome:
        """Return the scene without the cells."""
        scene.check_cells(self.ids)
        window = scene.window_of(self.ids)
        part = scene.labels[window]
        return Outcome(Change.of(scene.labels, window, np.where(np.isin(part, self.ids), 0, part)), ())
