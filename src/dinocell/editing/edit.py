"""An edit that was made: what was asked for, and what it changed."""

from dataclasses import dataclass

from dinocell.editing.change import Change, Window
from dinocell.editing.operations.operation import Operation


@dataclass(frozen=True, eq=False)
class Edit:
    """An operation on a label image that was made.

    Attributes
    ----------
    operation : Operation
        What was asked for.
    change : Change
        The pixels that it changed.
    ids : tuple of int
        Cells that it made or changed, and that are still there.
    notes : tuple of str
        What the person should know, a line each.
    """

    operation: Operation
    change: Change
    ids: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def window(self) -> Window:
        """Rows and columns that changed."""
        return self.change.window
