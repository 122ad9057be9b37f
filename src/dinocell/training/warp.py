"""One warp of image, labels and distance map: an affine transform that keeps the distances of whole cells."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from dinocell.postprocess.distance import labels_to_distance


def bounding_boxes(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Find the bounding box of every id.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)

    Returns
    -------
    int64 array, shape (max id + 1, 4)
        Row ``i``: first row, first column, last row, last column of id ``i``; zeros where the id is absent.
    """
    found = find_objects(np.maximum(labels, 0))
    boxes = np.zeros((len(found) + 1, 4), np.int64)
    for number, box in enumerate(found, start=1):
        if box is not None:
            rows, columns = box
            boxes[number] = rows.start, columns.start, rows.stop - 1, columns.stop - 1
    return boxes


def warp(
    plane: NDArray[Any], matrix: NDArray[np.float64], shape: tuple[int, int], method: int
) -> NDArray[Any]:
    """Warp an image or labels by `matrix`; both are mirrored beyond their edge.

    Mirroring keeps the distance map right there: a cell cut by the edge grows its own mirror image, so the
    edge does not count as outside.
    """
    warped: NDArray[Any] = cv2.warpAffine(
        plane, matrix, (shape[1], shape[0]), flags=method, borderMode=cv2.BORDER_REFLECT
    )
    return warped


def distance_of_whole_cells(
    labels: NDArray[np.int32],
    boxes: NDArray[np.int64],
    cropped: NDArray[np.int32],
    matrix: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Compute the distance map of a crop, measured on the uncropped cells that show in it.

    A cell that the crop cuts must keep the distances of the whole cell, so these are measured on a wider
    window and the crop is cut out of the result::

        wide window (warped once, measured once)
        ┌───────────────────────────┐
        │        ┌─ crop ─────┐     │   A is whole in the wide window: its distances and its maximum are
        │    ╭───┼──╮         │     │   those of the uncropped cell.
        │    │ A │  │       ╭─┼───╮ │   B reaches the image's edge. Beyond it, the warp mirrors B, so that the
        │    ╰───┼──╯       │B│   ┊ │   edge does not count as outside.
        │        │          ╰─┼───╯ │
        │        └────────────┘     │   ┊ edge of the image
        └───────────────────────────┘

    The window is as wide as the bounding boxes of all cells in the crop, with a pixel to spare. Where the
    crop shows mirrored cells, which have no bounding box, it is wider by the thickest cell: no distance in a
    cell and its mirror image exceeds that. The map is divided by each cell's maximum over the pixels of the
    image itself.
    """
    size = cropped.shape[0]
    ids = np.unique(cropped)
    ids = ids[ids > 0]
    if not ids.size:
        return np.zeros(cropped.shape, np.float32)
    top, left, bottom, right = boxes[ids].T
    moved = _move(
        matrix, np.concatenate([left, left, right, right]), np.tile(np.concatenate([top, bottom]), 2)
    )
    margin = 0.0
    if _shows_mirrored(matrix, size, labels.shape):
        thickness = np.minimum(bottom - top, right - left).max() + 1
        margin = thickness * float(np.linalg.norm(matrix[:, :2], 2))
    # Corners (x, y) of the wide window, in coordinates of the crop, whose own corners are 0 and `size`.
    low = np.floor(np.minimum(moved.min(axis=1) - 2, -margin)).astype(int)
    high = np.ceil(np.maximum(moved.max(axis=1) + 3, size + margin)).astype(int)
    wide = matrix.copy()
    wide[:, 2] -= low
    window = (int(high[1] - low[1]), int(high[0] - low[0]))
    whole = warp(labels, wide, window, cv2.INTER_NEAREST)
    whole[~np.isin(whole, ids)] = 0
    distance = labels_to_distance(whole)
    everywhere = np.ones(labels.shape, np.uint8)
    in_image = cv2.warpAffine(everywhere, wide, window[::-1], flags=cv2.INTER_NEAREST) > 0  # not mirrored
    peaks = np.zeros(len(boxes), np.float32)
    np.maximum.at(peaks, whole[in_image], distance[in_image])
    peaks[peaks == 0] = 1
    x, y = -low
    inside = np.s_[y : y + size, x : x + size]
    shares = np.minimum(distance[inside] / peaks[whole[inside]], 1)
    # The two warps may round a pixel at a label's edge differently; the crop's own labels decide.
    return np.where(cropped > 0, shares, 0).astype(np.float32)


def _move(matrix: NDArray[np.float64], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(matrix[:, :2] @ np.stack([x, y]) + matrix[:, 2:])


def _shows_mirrored(matrix: NDArray[np.float64], size: int, shape: tuple[int, ...]) -> bool:
    """Return whether a corner of the crop lies beyond the image."""
    x, y = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) * (size - 1)
    x, y = _move(np.asarray(cv2.invertAffineTransform(matrix), np.float64), x, y)
    return bool(min(x.min(), y.min()) < -0.5 or x.max() > shape[1] - 0.5 or y.max() > shape[0] - 0.5)
