"""Thresholds: four numbers that turn a distance map into labels."""

from pydantic import Field

from dinocell.settings import Section


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
