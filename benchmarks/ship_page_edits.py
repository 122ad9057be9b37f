"""Corrections at random, and what becomes of labels: for `ship_page.py`, which holds the browser to them."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell import LabelEditor
from dinocell.editing.journal import edit_line, hash_labels, start_line
from dinocell.errors import InputError

DIGITS = 16
STEPS = 70
"""Corrections of a sequence."""

Labels = NDArray[np.int32]
DistanceMap = NDArray[np.float32]


class Hand:
    """Somebody who corrects labels at random.

    Parameters
    ----------
    editor : LabelEditor
    seed : int
    """

    def __init__(self, editor: LabelEditor, seed: int) -> None:
        self._editor, self._random = editor, np.random.default_rng(seed)
        self._shape = editor.labels.shape

    def next(self) -> tuple[str, dict[str, Any]]:
        """Return the name of a method of the editor, and what it is called with."""
        makers = (self._add, self._add, self._box, self._outline, self._split, self._split, self._line)
        makers += (self._merge, self._delete, self._paint, self._paint)
        if self._random.random() < 0.12:
            return str(self._random.choice(["undo", "undo", "redo"])), {}
        return makers[self._random.integers(len(makers))]()

    def _ids(self) -> list[int]:
        ids = np.unique(self._editor.labels)
        return [int(each) for each in ids[ids > 0]]

    def _point(self, where: NDArray[np.bool_] | None = None) -> list[float]:
        """Return a point of a mask, anywhere without one; not always the centre of a pixel."""
        if where is None or not where.any():
            place = self._random.integers((0, 0), self._shape)
        else:
            rows, columns = np.nonzero(where)
            number = self._random.integers(rows.size)
            place = np.array([rows[number], columns[number]])
        off = self._random.choice([0.0, 0.25, -0.375])
        return [float(place[0]) + off, float(place[1]) + off]

    def _near(self, point: list[float], reach: int) -> list[float]:
        return [value + float(self._random.integers(-reach, reach + 1)) for value in point]

    def _cell(self) -> int:
        ids = self._ids()
        return ids[self._random.integers(len(ids))] if ids else 1

    def _add(self) -> tuple[str, dict[str, Any]]:
        first = self._point(self._editor.labels == 0)
        given: dict[str, Any] = {"points": [first]}
        if self._random.random() < 0.3:
            given["points"].append(self._near(first, 4))
        if self._random.random() < 0.4:
            given["outside"] = [self._near(first, 12)]
        if self._random.random() < 0.4:
            given["level"] = float(self._random.choice([0.0, 0.05, 0.125, 0.3, 0.9]))
        return "add", given

    def _box(self) -> tuple[str, dict[str, Any]]:
        first = self._point()
        return "add", {"box": [first, self._near(first, 25)]}

    def _outline(self) -> tuple[str, dict[str, Any]]:
        first = self._point()
        return "add", {"outline": [first, *(self._near(first, 20) for _ in range(4))]}

    def _split(self) -> tuple[str, dict[str, Any]]:
        inside = self._editor.labels == self._cell()
        count = 3 if self._random.random() < 0.2 else 2
        return "split", {"points": [[self._point(inside)] for _ in range(count)]}

    def _line(self) -> tuple[str, dict[str, Any]]:
        middle = self._point(self._editor.labels == self._cell())
        return "split", {"line": [self._near(middle, 40), middle, self._near(middle, 40)]}

    def _merge(self) -> tuple[str, dict[str, Any]]:
        cell = self._cell()
        around = np.unique(self._editor.labels[_grown(self._editor.labels == cell)])
        others = [int(each) for each in around if each not in (0, cell)]
        return "merge", {"ids": [cell, *(others[:1] or [self._cell()])]}

    def _delete(self) -> tuple[str, dict[str, Any]]:
        unknown = [99999] if self._random.random() < 0.1 else []
        return "delete", {"ids": [self._cell(), *unknown]}

    def _paint(self) -> tuple[str, dict[str, Any]]:
        row, column = (int(value) for value in self._point())
        radius = int(self._random.integers(2, 14))
        rows, columns = np.indices(self._shape, sparse=True)
        disk = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        number = [None, 0, self._cell()][self._random.integers(3)]
        runs = []
        for y in np.flatnonzero(disk.any(axis=1)):
            beside = np.flatnonzero(disk[y])
            runs.append([int(y), int(beside[0]), int(beside.size)])
        return "paint", {"id": number, "mask": runs}


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask with the pixels beside it."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def edit_steps(labels: Labels, distance: DistanceMap | None, seed: int) -> dict[str, Any]:
    """Return edits at random, and what became of the labels after each."""
    editor = LabelEditor(labels, distance)
    hand, steps = Hand(editor, seed), []
    for _ in range(STEPS):
        name, given = hand.next()
        step: dict[str, Any] = {"edit": name, **given}
        try:
            edit = _call(editor, name, given)
            if edit is not None and name not in ("undo", "redo"):
                line = edit_line(edit)
                step |= {"made": edit.ids, "notes": edit.notes}
                step["journal"] = hashlib.sha256(line.encode()).hexdigest()[:DIGITS]
        except InputError as error:
            step["error"] = str(error)
        step["labels"] = hash_labels(editor.labels)[:DIGITS]
        steps.append(step)
    return {"map": distance is not None, "start": start_line(labels), "steps": steps}


def _call(editor: LabelEditor, name: str, given: dict[str, Any]) -> Any:
    if name != "paint":
        return getattr(editor, name)(**given)
    mask = np.zeros(editor.labels.shape, bool)
    for row, first, count in given["mask"]:
        mask[row, first : first + count] = True
    return editor.paint(mask, given["id"])
