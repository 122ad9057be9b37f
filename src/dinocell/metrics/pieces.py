"""Ids in several pieces: binary masks that are taken for label images, and ids that two cells share."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from dinocell.labels import IGNORE, Labels, cell_areas, number_pieces

SPECK = 5
"""A piece of fewer pixels is not a cell but a trace of the brush."""

CLASSES = 8
"""A label image of more ids is not a map of classes, however many pieces they are in."""

_MANY = 3  # pieces an id, on average, from which on a label image counts as a mask
_SIZEABLE = 0.25  # share of the typical cell from which on a piece may be a cell with another one's id


_RESTLESS = 0.5  # share of neighbours that differ from which on labels are a picture


def looks_like_picture(labels: Labels) -> bool:
    """Return whether values change from pixel to pixel, as in a picture that is taken for a label image.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.int32)
    >>> looks_like_picture(noise), looks_like_picture(np.repeat(noise, 4, axis=1))
    (True, False)
    """
    left, right = labels[:, :-1], labels[:, 1:]
    inside = (left > 0) & (right > 0)
    pairs = int(inside.sum())
    restless = pairs > 0 and float((left != right)[inside].sum()) / pairs > _RESTLESS
    return restless and np.unique(labels).size > CLASSES


@dataclass(frozen=True)
class Shared:
    """Id that is shared by cells which lie far apart.

    Attributes
    ----------
    id : int
    places : tuple of (int, int)
        Row and column of the middle of each cell, the largest cell first.
    """

    id: int
    places: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        where = " and ".join(f"({y}, {x})" for y, x in self.places[:3])
        more = f" and {len(self.places) - 3} more" if len(self.places) > 3 else ""
        return f"id {self.id} is {len(self.places)} cells, at y, x {where}{more}"


@dataclass(frozen=True)
class Pieces:
    """Pieces that a label image falls into.

    Attributes
    ----------
    ids : int
        Number of distinct ids.
    pieces : int
        Connected pixels (8-connected) of one id that are large enough to be cells.
    is_mask : bool
        Whether it cannot be meant as a label image: a few ids at most, and pieces enough to be all the cells.
    shared : tuple of Shared
        Ids whose pieces lie farther apart than a typical cell is wide, in rising order.
    """

    ids: int = 0
    pieces: int = 0
    is_mask: bool = False
    shared: tuple[Shared, ...] = ()

    def __str__(self) -> str:
        return f"{_counted(self.ids, 'id')} in {_counted(self.pieces, 'piece')}"


def split_pieces(labels: Labels) -> Labels:
    """Return labels in which every connected piece of an id has an id of its own.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)

    Returns
    -------
    int32 array, shape (Y, X)
        The 8-connected pieces of every id, 1…N in row-major order of their first pixels; −1 is kept.

    Examples
    --------
    >>> split_pieces(np.array([[1, 0, 1], [-1, 0, 2]], np.int32))
    array([[ 1,  0,  2],
           [-1,  0,  3]], dtype=int32)
    """
    pieces = number_pieces(np.maximum(labels, 0))
    pieces[labels == IGNORE] = IGNORE
    return pieces


def find_pieces(labels: Labels) -> Pieces:
    """Find out whether the ids of a label image are those of cells.

    Specks and the parts of a cell that lies under others are common in label images, and are passed over.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)
        Ids may have gaps; −1 is ignored.

    Examples
    --------
    >>> labels = np.zeros((3, 12), np.int32)
    >>> labels[:, :3] = labels[:, 8:11] = 7
    >>> found = find_pieces(labels)
    >>> str(found), found.is_mask, str(found.shared[0])
    ('1 id in 2 pieces', True, 'id 7 is 2 cells, at y, x (1, 1) and (1, 9)')
    """
    pieces = number_pieces(np.maximum(labels, 0))
    count = int(pieces.max(initial=0))
    id_of = np.zeros(count + 1, np.int64)
    id_of[pieces] = np.maximum(labels, 0)
    ids, place = np.unique(id_of[1:], return_inverse=True)
    if count == ids.size:
        return Pieces(count, count)
    areas = cell_areas(pieces)[1:]
    largest = np.zeros(ids.size, np.int64)
    np.maximum.at(largest, place, areas)
    counted = int((areas >= max(SPECK, _share(ids.size) * _lower_median(largest))).sum())
    if ids.size <= CLASSES and counted >= _MANY * ids.size:
        return Pieces(ids.size, counted, is_mask=True)
    shared = tuple(_find_shared(pieces, ids, place, areas, float(np.median(largest))))
    return Pieces(ids.size, counted, is_mask=ids.size == 1 and bool(shared), shared=shared)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _share(ids: int) -> float:
    """Return the share of the typical id's largest piece from which on a piece counts for a mask.

    Several pieces of the only id are hardly one cell: there, only what a brush leaves behind is passed over.
    """
    return 0.01 if ids == 1 else 0.1


def _lower_median(largest: NDArray[np.int64]) -> float:
    """Return the size of the typical id's largest piece, of ids that are more than a speck.

    Of two it is that of the smaller: a map of classes may have one piece for everything outside of cells.
    """
    cells = largest[largest > SPECK]
    return float(np.quantile(cells if cells.size else largest, 0.5, method="lower"))


def _find_shared(
    pieces: Labels, ids: NDArray[np.int64], place: NDArray[np.int64], areas: NDArray[np.int64], typical: float
) -> Iterator[Shared]:
    """Find the ids whose pieces are cells of their own: sizeable, and farther apart than a cell is wide."""
    boxes = scipy.ndimage.find_objects(pieces)
    width = 2 * math.sqrt(typical / math.pi)
    sizeable = areas >= max(SPECK, _SIZEABLE * typical)
    candidates = np.flatnonzero(sizeable)
    candidates = candidates[np.lexsort((-areas[candidates], place[candidates]))]  # by id, the largest first
    counts = np.bincount(place[candidates], minlength=ids.size)
    ends = np.cumsum(counts)
    for number in np.flatnonzero(counts > 1):
        own = candidates[ends[number] - counts[number] : ends[number]]
        spans = np.array([[(span.start, span.stop) for span in boxes[piece]] for piece in own])
        gaps = np.maximum(spans[:, :, 0] - spans[0, :, 1], spans[0, :, 0] - spans[:, :, 1])
        apart = np.hypot(*np.maximum(gaps, 0).T) >= width
        if apart.any():
            apart[0] = True
            middles = ((spans[apart].sum(axis=2) - 1) // 2).tolist()
            yield Shared(int(ids[number]), tuple((y, x) for y, x in middles))
