"""The formats that results can be written in, by the names that ``--format`` takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.planes import Pixels
from dinocell.io.readers.units import square_edge
from dinocell.io.saving import write_image, write_labels
from dinocell.labels import Labels
from dinocell.measure.cells import measure_cells
from dinocell.measure.confidence import cell_confidence
from dinocell.measure.outlines import draw_outlines
from dinocell.preprocess.intensity_range import scale_to_uint8
from dinocell.preprocess.preprocessing import to_grayscale
from dinocell.results.coco import write_coco
from dinocell.results.geojson import write_geojson
from dinocell.results.imagej_rois import stack_place, write_imagej_rois
from dinocell.results.label_images import write_label_npy, write_label_png
from dinocell.results.overlay import write_overlay
from dinocell.results.table import write_csv, write_parquet
from dinocell.results.zarr_labels import write_zarr_labels


@dataclass(frozen=True, eq=False)
class PlaneResult:
    """All that can be written about one plane.

    Attributes
    ----------
    source : Path
        The image file.
    scene, t : int
    z : int or None
        None where the slices were projected.
    kind : str
        The file's format, as of `ImageInfo`.
    counts : (int, int, int)
        Times, channels and slices of the file.
    pixels : array, shape (Y, X) or (Y, X, S)
        What was segmented.
    channels : mapping of str to array, shape (Y, X)
        What is measured, by name; empty where only `pixels` is.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres.
    labels : int32 array, shape (Y, X)
    distance_map : float32 array, shape (Y, X)
    provenance : mapping
        How it was made; goes into every file that has a place for it.
    overwrite : bool
        Replace labels within the source that are not ours or of another shape.
    """

    source: Path
    scene: int
    t: int
    z: int | None
    kind: str
    counts: tuple[int, int, int]
    pixels: Pixels
    channels: Mapping[str, Pixels]
    pixel_size_yx_um: tuple[float, float] | None
    labels: Labels
    distance_map: NDArray[np.float32]
    provenance: Mapping[str, Any]
    overwrite: bool = False

    @cached_property
    def gray(self) -> Pixels:
        """What was segmented, as luminance."""
        return to_grayscale(self.pixels)

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """How sure each cell is, (N,)."""
        return cell_confidence(self.labels, self.distance_map)

    @cached_property
    def table(self) -> dict[str, NDArray[Any]]:
        """One row a cell, by column."""
        return measure_cells(
            self.labels,
            self.channels or self.gray,
            pixel_size_um=square_edge(self.pixel_size_yx_um),
            confidence=self.confidence,
        )


@dataclass(frozen=True)
class Format:
    """A format of results.

    Attributes
    ----------
    ending : str
        What follows the image's name in the file's; empty where it is written into the source.
    meaning : str
        For people.
    write : callable
        Takes the path and the result.
    """

    ending: str
    meaning: str
    write: Callable[[Path, PlaneResult], object]


FORMATS: dict[str, Format] = {
    "overlay": Format(
        "_overlay.png",
        "outlines on the image, to look at",
        lambda path, r: write_overlay(
            path, draw_outlines(scale_to_uint8(r.gray), r.labels), provenance=r.provenance
        ),
    ),
    "csv": Format("_cells.csv", "a row a cell", lambda path, r: write_csv(path, r.table)),
    "parquet": Format(
        "_cells.parquet",
        "the same table, typed",
        lambda path, r: write_parquet(path, r.table, provenance=r.provenance),
    ),
    "distance": Format(
        "_distance.tif", "the distance map", lambda path, r: write_image(path, r.distance_map)
    ),
    "rois": Format(
        "_rois.zip",
        "ROI set for ImageJ and Fiji",
        lambda path, r: write_imagej_rois(
            path,
            r.labels,
            provenance=r.provenance,
            **stack_place(r.counts, r.t, r.z, plain=r.kind == "TIFF"),
        ),
    ),
    "geojson": Format(
        "_cells.geojson",
        "objects with measurements for QuPath",
        lambda path, r: write_geojson(
            path, r.labels, measurements=r.table, z=r.z or 0, t=r.t, provenance=r.provenance
        ),
    ),
    "coco": Format(
        "_coco.json",
        "COCO annotations with run-length masks",
        lambda path, r: write_coco(
            path, r.labels, image_name=r.source.name, scores=r.confidence, provenance=r.provenance
        ),
    ),
    "zarr": Format(
        "",
        "labels within the source OME-Zarr",
        lambda _, r: write_zarr_labels(
            r.source,
            r.labels,
            scene=r.scene,
            t=r.t,
            z=r.z,
            provenance=r.provenance,
            overwrite=r.overwrite,
        ),
    ),
    "npy": Format("_labels.npy", "label image for NumPy", lambda path, r: write_label_npy(path, r.labels)),
    "png": Format(
        "_labels.png",
        "label image, up to 65,535 cells",
        lambda path, r: write_label_png(path, r.labels, provenance=r.provenance),
    ),
    "tif": Format(
        "_labels.tif",
        "label image as OME-TIFF, with pixel size",
        lambda path, r: write_labels(
            path, r.labels, pixel_size_um=r.pixel_size_yx_um, provenance=r.provenance
        ),
    ),
}
"""By name, in the order in which they are written."""

DEFAULT_FORMATS = ("overlay", "csv", "tif")


def parse_formats(values: list[str]) -> tuple[str, ...]:
    """Read names of formats, each on its own or several joined by commas; default where there are none.

    They are put in the order in which they are written.

    Raises
    ------
    InputError
        If one is unknown.

    Examples
    --------
    >>> parse_formats(["tif,csv", "rois"])
    ('csv', 'rois', 'tif')
    """
    wanted = {name.strip().lower().lstrip(".") for value in values for name in value.split(",")} - {""}
    unknown = sorted(wanted - FORMATS.keys())
    if unknown:
        raise InputError(
            f"--format {unknown[0]!r} is not known, expected some of {', '.join(sorted(FORMATS))}"
        )
    return tuple(name for name in FORMATS if name in wanted) or DEFAULT_FORMATS
