"""Contract of a result format, and the results that a file is written from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.planes import Pixels
from dinocell.io.readers.units import square_edge
from dinocell.io.stacks import StackAxes
from dinocell.labels import Labels
from dinocell.measure.cells import measure_cells
from dinocell.measure.confidence import cell_confidence
from dinocell.measure.outlines import Polygon
from dinocell.preprocess.preprocessing import to_grayscale


@dataclass(frozen=True)
class OverlayStyle:
    """Additions to the outlines of an overlay.

    Attributes
    ----------
    numbers : bool
        The id of every cell, inside of it.
    legend : bool
        A strip below the image: how many cells, what is outlined, what colours mean, a scale bar.
    """

    numbers: bool = False
    legend: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of what it shows."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name))


PLAIN = OverlayStyle()
"""Style of outlines alone."""


@dataclass(frozen=True, eq=False)
class PlaneResult:
    """Everything that can be written about one plane.

    Attributes
    ----------
    source : Path
        The image file.
    scene, t : int
    z : int or None
        None where the slices were projected.
    kind : str
        Format of the file, as `ImageInfo` names it.
    counts : (int, int, int)
        Times, channels and slices of the file.
    pixels : array, shape (Y, X) or (Y, X, S)
        Pixels that were segmented.
    channels : mapping of str to array, shape (Y, X)
        Channels that cells are measured in, by name; empty where only `pixels` is measured.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres.
    labels : int32 array, shape (Y, X)
    distance_map : float32 array, shape (Y, X), or None
        None where the labels are not ours.
    provenance : mapping
        Record of how it was made; goes into every file that has a place for it.
    overwrite : bool
        Replace labels within the source that DINOCell did not write, or that are of another shape.
    overlay : OverlayStyle
        What the overlay shows.
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
    distance_map: NDArray[np.float32] | None
    provenance: Mapping[str, Any]
    overwrite: bool = False
    overlay: OverlayStyle = PLAIN

    @cached_property
    def gray(self) -> Pixels:
        """Luminance of the pixels that were segmented."""
        return to_grayscale(self.pixels)

    @cached_property
    def confidence(self) -> NDArray[np.float32] | None:
        """Confidence of each cell, (N,), where there is a distance map."""
        return None if self.distance_map is None else cell_confidence(self.labels, self.distance_map)

    @cached_property
    def table(self) -> dict[str, NDArray[Any]]:
        """Columns of the table of cells, a row a cell."""
        return measure_cells(
            self.labels,
            self.channels or self.gray,
            pixel_size_um=square_edge(self.pixel_size_yx_um),
            confidence=self.confidence,
        )


@dataclass(frozen=True)
class StackPart:
    """File of one plane of a stack, in one format.

    Attributes
    ----------
    path : Path
    t : int
        Time in the image, counted from 0.
    z : int or None
        Slice; None where the slices were projected.
    """

    path: Path
    t: int
    z: int | None


@dataclass(frozen=True)
class Stack:
    """Everything that the files of a whole stack are joined from, apart from those of its planes.

    Attributes
    ----------
    source : Path
        The image file.
    plane_shape : (int, int)
        Height and width.
    axes : StackAxes
        Order and distances of the planes.
    provenance : mapping
        Record of how it was made.
    """

    source: Path
    plane_shape: tuple[int, int]
    axes: StackAxes
    provenance: Mapping[str, Any]


class PlaneFormat(ABC):
    """Format in which `dinocell segment` writes the results of one plane.

    Attributes
    ----------
    name : str
        Its name for ``--format``.
    ending : str
        Ending that follows the image's stem in the name of the file; empty where the format is written into
        the source.
    meaning : str
        What is in the file, for people.
    needs_channels : bool
        Whether cells are measured for it, in every channel of the image.
    needs_map : bool
        Whether it holds what only a distance map tells, which labels of other tools do not have.
    by_default : bool
        Whether it is written where no format is asked for.
    stack_ending : str
        Ending of the one file of all planes of a stack, where that is another one.
    """

    name: ClassVar[str]
    ending: ClassVar[str]
    stack_ending: ClassVar[str] = ""
    meaning: ClassVar[str]
    needs_channels: ClassVar[bool] = False
    needs_map: ClassVar[bool] = False
    by_default: ClassVar[bool] = False

    @abstractmethod
    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the file, in one step; `path` is the source where the format is written into it.

        Raises
        ------
        InputError
            If the format cannot hold the result.
        OutputError
            If the file cannot be written.
        MissingExtraError
            If the format needs a package that is not installed.
        """

    def can_join(self) -> bool:
        """Return whether the planes of a stack can stand in one file."""
        return type(self).join is not PlaneFormat.join

    def join(self, path: Path, parts: Sequence[StackPart], stack: Stack) -> None:
        """Write one file of all planes of a stack, from the files of its planes.

        Raises
        ------
        InputError
            If the format holds one plane a file.
        OutputError
            If the file cannot be written.
        """
        raise InputError(
            f"{path} cannot hold the {len(parts)} planes of {stack.source}, expected one: choose another "
            "--format, or a file a plane with --separate-planes"
        )


class BlockFormat(ABC):
    """Format in which `dinocell segment-large` writes the cells of an image, one file a block.

    Attributes
    ----------
    name : str
        Its name for ``--format``.
    folder_ending : str
        Ending that follows the stem of the labels and an underscore in the name of the folder.
    suffix : str
        Of the files in it.
    meaning : str
        What is in the files, for people.
    needs_outlines : bool
        Whether the cells are traced for it.
    """

    name: ClassVar[str]
    folder_ending: ClassVar[str]
    suffix: ClassVar[str]
    meaning: ClassVar[str]
    needs_outlines: ClassVar[bool] = False

    @abstractmethod
    def write_block(
        self,
        path: Path,
        table: Mapping[str, NDArray[Any]],
        polygons: Mapping[int, list[Polygon]],
        provenance: Mapping[str, Any],
    ) -> None:
        """Write the cells of one block.

        Parameters
        ----------
        path : Path
            An existing file is replaced in one step.
        table : mapping of str to array, shape (N,)
            Columns of `measure_cells`, in positions of the whole image.
        polygons : mapping of int to list of Polygon
            By label, in positions of the whole image; empty unless the format `needs_outlines`.
        provenance : mapping
            Record of how the cells were made.
        """
