"""Result for one image, and how it was made."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError, OutputError
from dinocell.inference.inputs import InputImage
from dinocell.inference.settings import CompleteSettings
from dinocell.labels import Labels, Target
from dinocell.postprocess.thresholds import Thresholds
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.version import __version__

if TYPE_CHECKING:
    from dinocell.results.result_format import PlaneResult

SAVED = ("overlay", "csv", "tif")
"""Formats that `Segmentation.save` writes where none are named."""


@dataclass(frozen=True)
class Parameters:
    """Record of how a segmentation was made.

    Attributes
    ----------
    model : str
        The model's variant.
    trained : bool
        False for a dry run with a model that was never trained: its labels mean nothing.
    device, engine, precision : str
        Where the network ran, in what, and what it computed with.
    preprocessing : Preprocessing
    settings : CompleteSettings
        As they were asked for.
    target : str
        What was outlined: cells or nuclei.
    diameter : float or None
        The cell diameter in pixels that was given, or with ``auto`` the median of the cells found; else None.
    scale : float
        The factor on both sides of the image before the network saw it.
    nonfinite_pixels : int
        NaN or infinite pixels of the field that were treated as its lowest finite value.
    median_diameter : float or None
        Of the cells found, in pixels; None without any.
    min_size : int
        Number of pixels below which cells were removed: the setting, or with ``auto`` what it was here.
    removed : int
        Number of cells that were removed as smaller.
    warnings : tuple of str
        Doubts about the result, and what to do about them.
    """

    model: str
    trained: bool
    device: str
    engine: str
    precision: str
    preprocessing: Preprocessing
    settings: CompleteSettings
    target: Target
    diameter: float | None = None
    scale: float = 1.0
    nonfinite_pixels: int = 0
    median_diameter: float | None = None
    min_size: int = 0
    removed: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def thresholds(self) -> Thresholds:
        """Thresholds that the watershed used."""
        return self.settings.thresholds_of[self.target]

    @property
    def tile_size(self) -> int:
        """Side of a tile, in pixels of the rescaled image."""
        return self.settings.tile_size

    @property
    def overlap(self) -> int:
        """Overlap of tiles, in pixels of the rescaled image."""
        return self.settings.overlap

    @property
    def fill_holes(self) -> bool:
        """Flag: background enclosed by one cell became part of it."""
        return self.settings.fill_holes

    def recorded(self) -> dict[str, Any]:
        """Return how the labels were made, as JSON values, for the files that hold them."""
        return {
            "dinocell": __version__,
            "model": {"name": self.model, "trained": self.trained},
            "preprocessing": asdict(self.preprocessing),
            **self.settings.recorded(),
            **self.found(),
            "scale": self.scale,
        }

    def found(self) -> dict[str, Any]:
        """Return what was chosen for this image where it was left open, as JSON values."""
        return {"target_found": self.target, "min_size_found": self.min_size, "removed": self.removed}


@dataclass(frozen=True, eq=False)
class Prediction:
    """Output of the network for one image, before the watershed.

    Attributes
    ----------
    distance_map : float32 array, shape (Y, X)
        In [0, 1].
    scale : float
        The factor on both sides of the image before the network saw it.
    target : str
        Whose map it is.
    """

    distance_map: NDArray[np.float32]
    scale: float
    target: Target


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """Result for one image.

    Attributes
    ----------
    labels : int32 array, shape (Y, X)
        0 is background, cells are 1…N.
    distance_map : float32 array, shape (Y, X)
        What the labels were made from, in [0, 1].
    parameters : Parameters
    source : InputImage
        The image, in which cells are measured.

    Examples
    --------
    >>> from dinocell import segment
    >>> segment(np.zeros((60, 80)))
    Segmentation(0 cells, 60×80)
    """

    labels: Labels
    distance_map: NDArray[np.float32]
    parameters: Parameters
    source: InputImage

    def __repr__(self) -> str:
        height, width = self.labels.shape
        return f"Segmentation({self.count} cells, {height}×{width})"

    @property
    def count(self) -> int:
        """Number of cells."""
        return int(self.labels.max(initial=0))

    def table(self) -> dict[str, NDArray[Any]]:
        """Measure the cells; columns as of `dinocell.measure_cells`, with confidence: a row a cell.

        ``pandas.DataFrame(result.table())`` makes a data frame of it.
        """
        return self._plane("image").table

    def overlay(self, *, numbers: bool = False, legend: bool = False) -> NDArray[np.uint8]:
        """Draw the outlines of the cells on the image.

        Parameters
        ----------
        numbers : bool
            Whether to draw the id of every cell inside of it.
        legend : bool
            Whether to add a strip below the image that says how many cells there are and what is outlined,
            with a scale bar where the size of a pixel is known.

        Returns
        -------
        uint8 array, shape (Y, X, 3)
            RGB; with a legend it is higher by the strip, and wider than a very narrow image.
        """
        from dinocell.results.overlay import draw_overlay  # here, as it takes long to import

        return draw_overlay(self._plane("image", numbers=numbers, legend=legend))

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        name: str | None = None,
        formats: Sequence[str] = SAVED,
        overwrite: bool = False,
        numbers: bool = False,
        legend: bool = False,
    ) -> list[Path]:
        """Write files as `dinocell segment` does.

        Parameters
        ----------
        folder : path
            Created where it does not exist.
        name : str, optional
            Beginning of the names of the files; otherwise that of the image's file, or ``image``.
        formats : sequence of str
            As ``--format`` of `dinocell segment`.
        overwrite : bool
            Whether files that exist are replaced.
        numbers, legend : bool
            As for `overlay`, for the overlay among the files.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        InputError
            If a format is not known.
        OutputError
            If a file exists, or cannot be written.
        MissingExtraError
            If a format needs a package that is not installed.
        """
        from dinocell.io.saving import create_folder  # here, as they take long to import
        from dinocell.results.formats import PLANE_FORMATS, parse_formats

        chosen = [PLANE_FORMATS[each] for each in parse_formats([*formats])]
        if into_source := [each.name for each in chosen if not each.ending]:
            raise InputError(f"{into_source[0]} is written into its source: call `dinocell segment` for it")
        begin = name or self.source.name
        files = [Path(folder, f"{begin}{each.ending}") for each in chosen]
        if not overwrite and (taken := [file for file in files if file.exists()]):
            raise OutputError(f"{taken[0]} exists: choose another folder or name, or set overwrite=True")
        create_folder(Path(folder))
        plane = self._plane(begin, numbers=numbers, legend=legend)
        for each, file in zip(chosen, files, strict=True):
            each.write(file, plane)
        return files

    def _plane(self, name: str, **shown: bool) -> "PlaneResult":
        from dinocell.results.result_format import (  # here, as it takes long to import
            OverlayStyle,
            PlaneResult,
        )

        source = self.source
        return PlaneResult(
            source=source.path or Path(name),
            scene=0,
            t=0,
            z=0,
            kind="",
            counts=(1, 1, 1),
            pixels=source.pixels,
            channels=source.channels,
            pixel_size_yx_um=source.pixel_size_yx_um,
            labels=self.labels,
            distance_map=self.distance_map,
            provenance=self.parameters.recorded(),
            overlay=OverlayStyle(**shown),
        )


@dataclass(frozen=True)
class TilesDone:
    """Progress within an image: how many of its tiles the network has seen."""

    done: int
    total: int


Progress = Callable[[TilesDone], None] | None
"""Callback after every batch of tiles; an exception that it raises ends the work."""
