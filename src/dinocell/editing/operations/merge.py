"""Merge cells into one."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dinocell.editing.change import Change
from dinocell.editing.operations.operation import CellId, Operation, Outcome, Scene
from dinocell.errors import InputError
from dinocell.labels import number_pieces


class Merge(Operation):
    """Cells that become one, which has the lowest of their ids.

    Cells that do not touch become one cell of several pieces, and a note says so.

    Attributes
    ----------
    ids : tuple of int
        Two or more.
    """

    edit: Literal["merge"] = "merge"
    ids: Annotated[tuple[CellId, ...], Field(min_length=1)]

    def apply(self, scene: Scene) -> Outcome:
        """Return the scene with one cell in place of the others."""
        if len(set(self.ids)) < 2:
            raise InputError(f"ids is {list(self.ids)}, expected two cells or more to merge")
        scene.check_cells(self.ids)
        window, kept = scene.window_of(self.ids), min(self.ids)
        part = scene.labels[window]
        merged = np.isin(part, self.ids)
        pieces = int(number_pieces(merged.astype(np.int32)).max())
        notes = (f"cell {kept} has {pieces} pieces that do not touch",) if pieces > 1 else ()
        return Outcome(Change.of(scene.labels, window, np.where(merged, kept, part)), (kept,), notes)
