"""Label images of people and programs: read, and checked to be what they pass for.

All label images are read here but two kinds: marks of ignored or unchecked pixels, of which all but 0 counts,
and corrected results, whose pieces always become cells (`dinocell.datasets.corrected`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dinocell.errors import FileFormatError
from dinocell.io.images import read_image, read_labels
from dinocell.labels import Labels, cell_areas, relabel
from dinocell.metrics.pieces import Pieces, find_pieces, looks_like_picture, split_pieces

NAMED = 3
"""Most ids shared by several cells that a note names; the others are counted."""

_COVERS = 0.5  # share of the image above which a note tells of its largest cell


class Masks(NamedTuple):
    """Labels, and notes for their users."""

    labels: Labels
    notes: tuple[str, ...] = ()


def read_masks(path: Path, *, split_components: bool | None = None) -> Masks:
    """Read the cells of a mask file.

    Parameters
    ----------
    path : Path
        A label image, or a binary file: booleans, or 8- or 16-bit pixels whose only value beside 0 is the
        largest there is, 255 or 65535. A file whose only value is 1 is a label image of one cell.
    split_components : bool, optional
        As `check_masks` takes it. None splits a binary file.

    Returns
    -------
    Masks
        Ids as stored. Of a binary file the 8-connected components, 1…N in row-major order of their first
        pixels: cells that touch there are one, and need a label image to be told apart.

    Raises
    ------
    FileMissingError, FileFormatError, InputError
        As `dinocell.io.images.read_labels` and `check_masks` do.
    """
    labels = read_labels(path)
    if split_components is None and _is_binary(path, labels):
        split = split_pieces(labels)
        count = int(split.max())
        note = f"{path}: a binary mask, its {count} pieces are the cells; cells that touch there are one"
        return Masks(split, (note,) if count > 1 else ())
    return check_masks(labels, str(path), split_components=split_components)


def _is_binary(path: Path, labels: Labels) -> bool:
    values = labels[labels != 0]
    if not values.size or values[0] not in (1, 255, 65535) or (values != values[0]).any():
        return False
    dtype = read_image(path).pixels.dtype  # a second reading, of the rare files that may be binary
    white = {np.dtype(bool): 1, np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
    return bool(white.get(dtype) == values[0])


def check_masks(labels: Labels, where: str, *, split_components: bool | None = None) -> Masks:
    """Check that the ids of a label image are those of cells.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)
    where : str
        Their name in messages.
    split_components : bool, optional
        True gives every connected piece its own id. None raises for what cannot be a label image, such as
        one id in twelve pieces; False takes the ids as they are.

    Returns
    -------
    Masks
        With a note for labels that were split, or that are used although their ids are odd.

    Raises
    ------
    FileFormatError
        If it cannot be a label image, and `split_components` is None.
    """
    if split_components:
        return _split(labels, where)
    refuse_picture(labels, where)
    found = find_pieces(labels)
    if found.is_mask and split_components is None:
        raise FileFormatError(f"{where}: {found}, expected an id a cell: {_remedy(found)}")
    return Masks(labels, tuple(f"{where}: {note}" for note in _notes(labels, found)))


def refuse_picture(labels: Labels, where: str) -> None:
    """Raise FileFormatError for a picture in place of a label image, as where both were swapped."""
    if looks_like_picture(labels):
        raise FileFormatError(
            f"{where}: values change from pixel to pixel as in a picture, expected an id a cell: give the "
            "label image; image and labels may have been swapped"
        )


def first_few(notes: Sequence[str], most: int = 5) -> list[str]:
    """Return the first notes, each once, and how many more there are."""
    different = list(dict.fromkeys(notes))
    left = len(different) - most
    return different[:most] + ([f"and {left} more notes like these"] if left > 0 else [])


def _split(labels: Labels, where: str) -> Masks:
    split = split_pieces(labels)
    ids, count = np.unique(labels[labels > 0]).size, int(split.max(initial=0))
    note = f"{where}: {Pieces(ids, count)}, each a cell now"
    return Masks(split, (note,) if count > ids else ())


def _remedy(found: Pieces) -> str:
    what = "a binary mask of all cells" if found.ids == 1 else "a map of classes"
    return (
        f"it looks like {what}; --split-components (split_components=True) gives every connected piece its "
        "own id, --no-split-components takes the ids as they are"
    )


def _largest_share(labels: Labels) -> float:
    """Compute which share of the image its largest cell covers."""
    areas = (
        cell_areas(labels)[1:] if labels.max(initial=0) <= labels.size else cell_areas(relabel(labels))[1:]
    )
    return float(areas.max(initial=0)) / max(labels.size, 1)


def _notes(labels: Labels, found: Pieces) -> Iterator[str]:
    if found.is_mask or (found.ids == 1 and found.pieces > 1 and not found.shared):
        yield f"{found}, taken as {'one cell' if found.ids == 1 else 'so many cells'}"
    elif found.shared:
        named = "; ".join(map(str, found.shared[:NAMED]))
        more = f"; and {len(found.shared) - NAMED} more ids" if len(found.shared) > NAMED else ""
        yield f"{named}{more}: give each cell its own id, or split them with --split-components"
    elif (share := _largest_share(labels)) > _COVERS and found.ids > 1:
        yield f"one of its {found.ids} ids covers {share:.0%} of it, expected 0 where there is no cell"
    elif found.ids == 1 and (share := float((labels > 0).mean())) > _COVERS:
        yield f"its only cell covers {share:.0%} of it: a binary mask of cells that touch needs ids instead"
