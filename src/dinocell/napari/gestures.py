"""Meaning of keys at a point: some edit at once, others wait for a second point."""

from dinocell.editing.edit import Edit
from dinocell.editing.review import Review
from dinocell.errors import InputError

Point = tuple[float, float]


class Gestures:
    """Keys that were pressed so far, of those that need two points."""

    def __init__(self) -> None:
        self._waiting: tuple[str, Point] | None = None

    def reset(self) -> None:
        """Forget a first point."""
        self._waiting = None

    def press(self, key: str, plane: Review, point: Point) -> tuple[Edit | None, str]:
        """Do what a key means at a point.

        Parameters
        ----------
        key : str
            A, S, M or D.
        plane : Review
        point : (float, float)
            Row and column in pixels.

        Returns
        -------
        Edit or None
            What was done; None where a second point is awaited.
        str
            Words for the user.

        Raises
        ------
        InputError
            If that cannot be done there.
        """
        before, self._waiting = self._waiting, None
        cell = plane.cell_at(point)
        if key == "A":
            edit = plane.editor.add([point])
            return edit, f"Added cell {edit.ids[0]}"
        if cell <= 0:
            raise InputError("there is no cell under the mouse, expected one: point at a cell, then press")
        if key == "D":
            return plane.editor.delete([cell]), f"Deleted cell {cell}"
        if before is None or before[0] != key:
            self._waiting = (key, point)
            return None, _FIRST[key].format(cell)
        if key == "M":
            other = plane.cell_at(before[1])
            return plane.editor.merge([other, cell]), f"Merged cells {other} and {cell}"
        return plane.editor.split([before[1], point]), f"Split cell {cell}"


_FIRST = {
    "S": "Split cell {}: point at its other half and press S",
    "M": "Merge cell {}: point at the cell that belongs to it and press M",
}
