"""Pixels of the convex hull of every cell, counted without drawing it, in whole numbers throughout.

A cell of three rows, and its hull, which the pixel + belongs to as well::

    columns  0 1 2 3          left ends of rows   cell 0 2 0, hull 0 0 0
    row 0    # # # #          right ends of rows  cell 3 3 3, hull 3 3 3
    row 1    + + # #
    row 2    # # # #          pixels of the hull: 3 rows · (3 − 0 + 1) = 12

Three steps, for all cells at once:

1. The left side of the hull needs only the first pixel of each row. `_left_middles` lists the middles of its
   upper, left and lower side, from top to bottom: a chain.
2. `_bend_outward` drops the points at which a chain bends inward; what is left are the corners of the hull.
3. In each row, the hull begins where the line between two corners crosses it, rounded up to a whole column.
   `floor_sums` adds these columns up for all rows between two corners, in as many steps as Euclid's
   algorithm takes, not as many as there are rows.

The right side is the left side of the mirror image.
"""

import numpy as np

from dinocell.measure.runs import CellRuns, Ints

Chain = tuple[Ints, Ints, Ints]
"""Cell, position along Y and along X of points, cell after cell and down along Y; positions are doubled, so
that the middle of a pixel's side is a whole number."""


def convex_areas(runs: CellRuns) -> Ints:
    """Count the pixels of every cell's convex hull.

    The hull is that of the middles of all sides of the cell's pixels; a pixel whose centre lies in it or on
    its edge counts, as in scikit-image's ``convex_hull_image``.

    Parameters
    ----------
    runs : CellRuns

    Returns
    -------
    int64 array, shape (N,)
        A cell in several pieces has one hull around all of them.
    """
    if not runs.begins.size:
        return np.zeros(0, np.int64)
    begins = np.flatnonzero((np.diff(runs.cell, prepend=0) != 0) | (np.diff(runs.row, prepend=0) != 0))
    ends = np.append(begins[1:], runs.row.size) - 1
    cell, row = runs.cell[begins].astype(np.int64) - 1, runs.row[begins]
    # In a row whose hull is closed on the left at l and on the right at r, the pixels are
    # floor(r) − ceil(l) + 1. The right is the left of the mirror image: floor(r) is −ceil(−r).
    count = runs.begins.size
    last = np.append(runs.begins[1:], runs.row.size) - 1
    heights: Ints = runs.row[last] - runs.row[runs.begins] + 1
    left = _sum_left_ends(cell, row, runs.left[begins], count)
    right = _sum_left_ends(cell, row, -runs.right[ends], count)
    return heights - left - right


def _sum_left_ends(cell: Ints, row: Ints, left: Ints, count: int) -> Ints:
    """Add up, over all rows of every hull, the columns of the first pixels in it, given those of the cell."""
    cell, y, x = _bend_outward(_left_middles(cell, row, left))
    begin, end = (np.flatnonzero(cell[1:] == cell[:-1]) + step for step in (0, 1))
    # Centres of rows are even: those from the upper point of a side on, the lower one's not included.
    first, stop = (y[begin] + 1) // 2, (y[end] + 1) // 2
    height, width = y[end] - y[begin], x[end] - x[begin]
    # Twice the column is x + width (2 row − y) / height, to be halved and rounded up.
    start = x[begin] * height + width * (2 * first - y[begin])
    rounded_up = -floor_sums(stop - first, 2 * height, -2 * width, -start)
    sums = np.zeros(count, np.int64)
    np.add.at(sums, cell[begin], rounded_up)
    return sums


def _left_middles(cell: Ints, row: Ints, left: Ints) -> Chain:
    """Return the middles of the upper, left and lower side of the first pixel of every row of every cell."""
    y = (2 * row[:, None] + np.array([-1, 0, 1])).ravel()
    x = (2 * left[:, None] + np.array([0, -1, 0])).ravel()
    cell = np.repeat(cell, 3)
    # The lower side of a pixel and the upper side of the next row's share a height: the outer one matters.
    upper = 3 * np.flatnonzero((cell[3::3] == cell[:-3:3]) & (row[1:] == row[:-1] + 1)) + 2
    x[upper] = np.minimum(x[upper], x[upper + 1])
    keep = np.ones(y.size, bool)
    keep[upper + 1] = False
    return cell[keep], y[keep], x[keep]


def _bend_outward(chain: Chain) -> Chain:
    """Keep the points of chains that are corners of the hull on its left.

    A point on or right of the line between its neighbours is not a corner, whatever becomes of the
    neighbours; so all such points can go at once, again and again until none is left::

        round 0     round 1     round 2
        a           a           a
          b          |           |        b is right of a–c, d is right of c–e: both go
         c           c           |        then c is right of a–e: it goes
          d          |           |
        e           e           e

    Chains that are done leave early: one long chain that needs many rounds costs no more than its own length
    a round.
    """
    done: list[Chain] = []
    while chain[0].size:
        cell, y, x = chain
        same = cell[2:] == cell[:-2]
        before, after = (y[1:-1] - y[:-2], x[1:-1] - x[:-2]), (y[2:] - y[1:-1], x[2:] - x[1:-1])
        drop = np.zeros(cell.size, bool)
        drop[1:-1] = same & (before[1] * after[0] >= after[1] * before[0])
        unfinished = np.zeros(int(cell[-1]) + 1, bool)
        unfinished[cell[drop]] = True
        going = unfinished[cell]
        done.append((cell[~going], y[~going], x[~going]))
        keep = going & ~drop
        chain = cell[keep], y[keep], x[keep]
    cells, ys, xs = (np.concatenate([part[axis] for part in done]) for axis in range(3))
    order = np.argsort(cells, kind="stable")
    return cells[order], ys[order], xs[order]


def floor_sums(count: Ints, divisor: Ints, slope: Ints, start: Ints) -> Ints:
    """Add up ⌊(slope · i + start) / divisor⌋ over i from 0 to count − 1, in the steps of Euclid's algorithm.

    For a line above 0 the sum is the number of points with whole coordinates from 1 up to the line. The whole
    parts of slope and start are triangles and rectangles of points, which a formula counts. A line less steep
    than 45° is left, which begins between 0 and 1. Seen from the other axis it is steep, and its slope has a
    whole part again.

    Parameters
    ----------
    count, divisor, slope, start : int64 array, shape (N,)
        Counts from 0, divisors from 1, slopes and starts of any sign.

    Returns
    -------
    int64 array, shape (N,)

    Examples
    --------
    >>> floor_sums(*np.array([[4], [3], [2], [-1]]))  # -1/3, 1/3, 3/3, 5/3, rounded down
    array([1])
    """
    sums = np.zeros(count.shape, np.int64)
    while count.any():
        whole, slope = np.divmod(slope, divisor)
        sums += whole * (count * (count - 1) // 2)
        whole, start = np.divmod(start, divisor)
        sums += whole * count
        # What is left is counted along the other axis.
        count, start = np.divmod(slope * count + start, divisor)
        slope, divisor = divisor, np.maximum(slope, 1)  # a slope of 0 leaves a count of 0
    return sums
