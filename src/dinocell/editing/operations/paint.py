"""Paint pixels by hand."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dinocell.editing.change import Change
from dinocell.editing.operations.operation import Operation, Outcome, Scene
from dinocell.errors import InputError


class Paint(Operation):
    """Pixels that become a cell's, or background. Paint wins over everything that was there.

    Attributes
    ----------
    id : int
        The cell; 0 is background.
    mask : tuple of (int, int, int)
        Row, first column and number of the pixels, in runs along rows.
    """

    edit: Literal["paint"] = "paint"
    id: Annotated[int, Field(ge=0, le=2**31 - 1)]
    mask: tuple[tuple[int, int, int], ...]

    def apply(self, scene: Scene) -> Outcome:
        """Return the scene with the pixels painted."""
        if not self.mask:
            raise InputError("mask is empty, expected one pixel or more to paint")
        runs = np.array([(*run, self.id) for run in self.mask], np.int64)
        change = Change.from_runs(scene.labels, runs)
        ids = (self.id,) if self.id else ()
        gone = np.setdiff1d(change.before, change.after)
        lost = [cell for cell in gone[gone > 0].tolist() if not self._stays(scene, change, cell)]
        notes = (
            (f"painted over all of {'cell' if len(lost) == 1 else 'cells'} {', '.join(map(str, lost))}",)
            if lost
            else ()
        )
        return Outcome(change, ids, notes)

    @staticmethod
    def _stays(scene: Scene, change: Change, cell: int) -> bool:
        """Return whether a cell has pixels outside of what changed."""
        return int((scene.labels == cell).sum()) > int((change.before == cell).sum())
