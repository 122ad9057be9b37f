"""Labels to a distance map: the target that the network learns to regress."""

from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from dinocell.labels import relabel, validate_labels


def labels_to_distance(labels: NDArray[Any]) -> NDArray[np.float32]:
    """Turn every cell into a hill that is 1 at its innermost pixel and falls to 0 outside.

    Within a cell the value is the Euclidean distance to the nearest pixel outside *that* cell, divided by the
    largest such distance in the cell. A touching neighbour counts as outside; the image border does not. A
    cell with no outside pixel at all (it fills the image) is 1 everywhere.

    Parameters
    ----------
    labels : integer array, shape (Y, X)
        0 is background, ids may have gaps, −1 (ignore) is treated as background.

    Returns
    -------
    float32 array, shape (Y, X)
        In [0, 1]; 0 in the background, and only there.

    Raises
    ------
    InputError
        If `labels` is not a label image.

    Examples
    --------
    >>> labels_to_distance(np.array([[0, 2, 2, 2, 2, 2, 0]])).round(2)
    array([[0.  , 0.33, 0.67, 1.  , 0.67, 0.33, 0.  ]], dtype=float32)
    """
    cells = np.maximum(validate_labels(labels), 0)
    if not cells.any():
        return np.zeros(cells.shape, np.float32)
    if int(cells.max()) > cells.size:
        cells = relabel(cells)  # the table of peaks has a row an id
    # One pass over all labels: `edt` measures to the nearest pixel of *another* label.
    distance: NDArray[np.float32] = edt.edt(np.ascontiguousarray(cells), black_border=False)
    distance[cells == 0] = 0
    distance[np.isinf(distance)] = 1  # nothing but this one cell in the image
    peaks = np.zeros(int(cells.max()) + 1, np.float32)
    np.maximum.at(peaks, cells.ravel(), distance.ravel())
    peaks[peaks == 0] = 1
    return distance / peaks[cells]
