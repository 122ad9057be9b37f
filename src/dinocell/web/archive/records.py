"""Records of the archive: what is kept of images and results beside what is sent of them."""

from typing import Any

from pydantic import Field

from dinocell.labels import Target
from dinocell.postprocess.small_cells import MinSize
from dinocell.postprocess.thresholds import Thresholds
from dinocell.settings import Section
from dinocell.web.messages import Channel

LABELS, MAP, EDITS, LARGE_LABELS = "labels.npy", "map.npy", "edits.jsonl", "labels.zarr"
"""Files of a result: labels before the first edit, the distance map that they were cut from, the edits since
then; and the OME-Zarr of what is too large for that, with tables beside it."""


LARGEST_ID = 2**24 - 1
"""Largest id of a cell that tiles can show."""


class PlaneRecord(Section):
    """A plane of a file, as it was read.

    Attributes
    ----------
    shape : (int, int)
        Height and width.
    dtype : str
    rgb : bool
    channels : tuple of Channel
    pixel_size_um : (float, float) or None
    level_shapes : tuple of (int, int)
        Of the pixels and of each coarser level, each half of the one before.
    scenes, times, slices : int
        Of the file.
    place : dict of str to int
        Scene, time and slice that was read.
    notes : tuple of str
    """

    shape: tuple[int, int]
    dtype: str
    rgb: bool
    channels: tuple[Channel, ...]
    pixel_size_um: tuple[float, float] | None
    level_shapes: tuple[tuple[int, int], ...]
    scenes: int
    times: int
    slices: int
    place: dict[str, int]
    notes: tuple[str, ...] = ()


class ImageRecord(PlaneRecord):
    """An image: a plane, and the file that it was read from.

    Attributes
    ----------
    id, name, sha256, created
        As of `dinocell.web.messages.ImageInfo`.
    bytes : int
        Of the uploaded file.
    file : str
        Id of the image whose folder holds that file: another one for further planes of it.
    path : str or None
        Where the file lies that was not uploaded.
    """

    id: str
    name: str
    bytes: int
    sha256: str
    file: str
    path: str | None = None
    created: str


class ResultRecord(Section):
    """Cells that were found, and how.

    Attributes
    ----------
    id, image, job, created : str
    model, target : str
    kind : str
        ``map`` where labels were cut from a distance map, ``labels`` where there is none, ``large`` where
        both are too large for memory and lie in an OME-Zarr.
    count : int
        Cells now.
    shape : (int, int)
    thresholds, own_thresholds : Thresholds
        Those that are used, and those of the model.
    min_size : int or "auto"
    fill_holes : bool
    channel : int or None
        That was segmented; None for the only one, or colour.
    pixel_size_um : (float, float) or None
    warnings : tuple of str
        About the image.
    doubts : tuple of str
        About the cells as they were cut last.
    provenance : dict
        Record of how the labels were made, as files hold it.
    edits : int
        Edits that hold.
    can_redo : bool
        Whether one was undone.
    checked : tuple of int
        Cells that a person has looked at.
    all_checked : bool
    version : int
        Grows with every change of the labels.
    """

    id: str
    image: str
    job: str
    created: str
    model: str
    target: Target
    kind: str = Field(pattern="^(map|labels|large)$")
    count: int
    shape: tuple[int, int]
    thresholds: Thresholds
    own_thresholds: Thresholds
    min_size: MinSize = 0
    fill_holes: bool = False
    channel: int | None = None
    pixel_size_um: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    provenance: dict[str, Any]
    edits: int = 0
    can_redo: bool = False
    checked: tuple[int, ...] = ()
    all_checked: bool = False
    version: int = 1
