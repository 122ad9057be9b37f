"""Thresholds: four numbers that turn a distance map into labels."""

from typing import Self

from pydantic import Field

from dinocell.errors import InputError
from dinocell.settings import Section

SHORT_NAMES = {"cells_max": "cells_max_threshold", "cell_fill": "cell_fill_threshold"}
"""Names that the options of the command line have for two of the numbers, and Python takes as well."""


class Thresholds(Section):
    """Numbers that turn a distance map into labels; chosen on validation data.

    Attributes
    ----------
    cells_max_threshold : float
        Pixels above it are markers.
    cell_fill_threshold : float
        Pixels above it belong to cells.
    merge : float
        Two basins whose saddle reaches this share of the lower peak are one cell; 1 merges none.
    regrow : bool
        Whether cells grow back by the boundary that `cell_fill_threshold` cut.
    """

    cells_max_threshold: float = Field(default=0.47, ge=0, le=1)
    cell_fill_threshold: float = Field(default=0.09, ge=0, le=1)
    merge: float = Field(default=0.5, ge=0, le=1)
    regrow: bool = False

    def replaced(
        self,
        *,
        cells_max_threshold: float | None = None,
        cell_fill_threshold: float | None = None,
        merge: float | None = None,
        regrow: bool | None = None,
    ) -> Self:
        """Copy with those replaced that are given.

        Raises
        ------
        InputError
            If a number is not from 0 to 1.
        """
        given = {
            "cells_max_threshold": cells_max_threshold,
            "cell_fill_threshold": cell_fill_threshold,
            "merge": merge,
        }
        changes: dict[str, float] = {}
        for name, value in given.items():
            if value is None:
                continue
            if isinstance(value, bool) or not 0 <= value <= 1:
                raise InputError(f"{name} is {value}, expected a number from 0 to 1")
            changes[name] = float(value)
        if regrow is not None:
            changes["regrow"] = bool(regrow)
        return self.model_copy(update=changes) if changes else self
