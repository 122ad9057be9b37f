"""Types of the arrays that describe cells and components."""

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
"""Numbers of tasks and components, positions, boxes: first row and column, last row and column plus 1."""

CellIds = NDArray[np.uint64]
"""Numbers of cells, unique in the image; 0 is background."""
