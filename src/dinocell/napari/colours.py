"""Colours of labels by a column of their table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap
from numpy.typing import NDArray

PLAIN = "label (any colour)"
"""Choice of napari's own colours."""

_MAP = "viridis"
_TAILS = 2  # per cent at either end that do not stretch the colours


def colour_by(table: Mapping[str, NDArray[Any]], column: str) -> tuple[Any, tuple[float, float]]:
    """Return a colormap of labels by a column, and the values at its ends.

    Parameters
    ----------
    table : mapping of str to array, shape (N,)
        With the column ``label``.
    column : str

    Returns
    -------
    DirectLabelColormap
        Cells without a value are gray.
    (float, float)
        Lowest and highest value; of ``confidence`` 0 and 1, else without the outermost 2 %.
    """
    values = np.asarray(table[column], np.float64)
    known = np.isfinite(values)
    low, high = (0.0, 1.0) if column == "confidence" else _ends(values[known])
    shares = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    colours = np.full((values.size, 4), 0.5)
    colours[:, 3] = 1
    colours[known] = ensure_colormap(_MAP).map(shares[known])
    by_label: dict[int | None, Any] = dict(zip(np.asarray(table["label"]).tolist(), colours, strict=True))
    by_label[None] = by_label[0] = np.zeros(4)
    return DirectLabelColormap(color_dict=by_label), (low, high)


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, [_TAILS, 100 - _TAILS])
    return float(low), float(high)
