"""Settings of a large image, in a form that travels to workers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.inference.remote_model import RemoteModel
from dinocell.io.images import open_image
from dinocell.io.pixel_size import PixelSize
from dinocell.io.planes import Pixels, Window
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.selected_planes import read_channels, read_selected_plane
from dinocell.io.selection import SelectedPlane
from dinocell.labels import Target
from dinocell.large.grid import BlockGrid
from dinocell.large.workspace import Workspace
from dinocell.postprocess.small_cells import MinSize
from dinocell.postprocess.thresholds import Thresholds
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.preprocess.resampling import scaled_shape
from dinocell.results.formats import BLOCK_FORMATS
from dinocell.tiling import Tile

MAX_BLOCK = 8192
"""Side in pixels of the largest block."""


class TileModel(Protocol):
    """Model from preprocessed tiles to distance maps, as `dinocell.inference.prediction.Predictor` is."""

    preprocessing: Preprocessing
    tile_size: int
    overlap: int

    @property
    def used(self) -> tuple[str, str]:
        """Engine that computes its maps, and the precision of that."""
        ...

    @property
    def targets(self) -> tuple[Target, ...]:
        """Targets of its maps, in their order."""
        ...

    def diameter_ranges(self, targets: Iterable[Target]) -> dict[Target, tuple[float, float] | None]:
        """Return the diameters in pixels that the model is best at by target, as far as it says."""
        ...

    def predict(
        self, gray: NDArray[np.uint8], targets: Sequence[Target]
    ) -> dict[Target, NDArray[np.float32]]:
        """Predict the maps of a preprocessed image in memory."""
        ...

    def predict_view(
        self, gray: NDArray[np.uint8], targets: Sequence[Target]
    ) -> dict[Target, NDArray[np.float32]]:
        """Predict the maps of a preprocessed image that may be smaller than a tile."""
        ...

    def predict_batches(
        self, gray: NDArray[np.uint8], tiles: Sequence[Tile]
    ) -> Iterator[NDArray[np.float32]]:
        """Predict tiles of a preprocessed image, some at a time: ``(B, T, size, size)``."""
        ...


class TileModelLoader(Protocol):
    """Tile model that is not loaded yet: hashable, and small enough to travel to workers."""

    def load(self) -> TileModel:
        """Load the model, or return the one that this process has loaded before."""
        ...

    def described(self) -> dict[str, Any]:
        """Return all that decides about its maps, as JSON values."""
        ...

    def resumed_with(self, used: tuple[str, str]) -> Self:
        """Return the model that goes on with the engine and the precision of what is done so far."""
        ...


@dataclass(frozen=True)
class SourcePlane:
    """One plane of an image file.

    Attributes
    ----------
    path : Path
        On a disk that all workers see.
    scene : int
    place : SelectedPlane
    channel : int, str or None
        None for the only one, or for colour.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres, for a file that does not say it.
    """

    path: Path
    scene: int
    place: SelectedPlane
    channel: int | str | None
    pixel_size_yx_um: PixelSize | None = None

    @contextmanager
    def opened(self) -> Iterator["OpenedPlane"]:
        """Open the file for reading windows of the plane."""
        with open_image(self.path, scene=self.scene, windows=True) as image:
            yield OpenedPlane(image, self)


@dataclass(frozen=True, eq=False)
class OpenedPlane:
    """An opened plane."""

    image: LazyImage
    source: SourcePlane

    def read(self, rows: slice, columns: slice) -> Pixels:
        """Read a window of the pixels to segment, (Y, X) or (Y, X, S)."""
        return read_selected_plane(self.image, self.source.place, self.source.channel, (rows, columns))

    def read_channels(self, window: Window) -> dict[str, Pixels]:
        """Read a window of all channels by name; samples of a colour count as channels."""
        return dict(read_channels(self.image, self.source.place, window))


@dataclass(frozen=True)
class LargeTarget:
    """Settings of a large image that depend on what is outlined.

    Attributes
    ----------
    thresholds : Thresholds
    scale : float or None
        Factor on both sides of the image before the network sees it; None: found by the size of the cells.
    """

    thresholds: Thresholds
    scale: float | None = 1.0

    @classmethod
    def of_model(cls, model: RemoteModel) -> "dict[Target, LargeTarget]":
        """Return the settings of the targets that a model chooses from; errors as `RemoteModel.load`."""
        settings, predictor = model.settings, model.load()
        return {
            target: cls(
                settings.thresholds_of[target],
                None if settings.diameter == "auto" else predictor.scale_for(settings.diameter, target),
            )
            for target in settings.targets
        }


@dataclass(frozen=True)
class LargeSettings:
    """Settings of the segmentation of a large image.

    Attributes
    ----------
    targets : mapping of str to LargeTarget
        What may be outlined: of several, one is chosen for the whole image.
    min_size : int or "auto"
        Cells of fewer pixels are removed; ``auto`` as of `dinocell.postprocess.small_cells`.
    block : int
        Side of a block in pixels.
    largest : int
        Pixels of the window around a component that is flooded whole; about 50 bytes each are taken.
    halo : int
        Pixels beyond its block at which the flood of a larger component is cut.
    formats : tuple of str
        Formats that are written beside the labels: names of `BLOCK_FORMATS`.

    Raises
    ------
    InputError
        If one is out of bounds.
    """

    targets: Mapping[Target, LargeTarget]
    min_size: MinSize = 0
    block: int = 2048
    largest: int = 4096**2
    halo: int = 256
    formats: tuple[str, ...] = ("parquet",)

    def __post_init__(self) -> None:
        for name, least in (("block", 16), ("largest", 1), ("halo", 1), ("min_size", 0)):
            if getattr(self, name) != "auto" and getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least {least} pixels")
        if self.block > MAX_BLOCK:
            raise InputError(
                f"block is {self.block}, expected at most {MAX_BLOCK} pixels: memory grows with it"
            )
        for target in self.targets.values():
            scaled_shape((1, 1), 1.0 if target.scale is None else target.scale)  # raises if it is no factor
        unknown = [name for name in self.formats if name not in BLOCK_FORMATS]
        if unknown:
            raise InputError(f"format {unknown[0]!r} is unknown, expected some of {', '.join(BLOCK_FORMATS)}")


@dataclass(frozen=True)
class LargeJob:
    """Large image, with all that workers need to know.

    Attributes
    ----------
    source : SourcePlane
    network : TileModelLoader
    settings : LargeSettings
    target : str
        What is outlined; until it is chosen, the first one that may be.
    shape : (int, int)
        The plane's (Y, X).
    pixel_size_um : float or None
    map_workspace : Workspace
        Folder of what the thresholds do not change: the distance map.
    label_workspace : Workspace
        Folder of the rest.
    """

    source: SourcePlane
    network: TileModelLoader
    settings: LargeSettings
    target: Target
    shape: tuple[int, int]
    pixel_size_um: float | None
    map_workspace: Workspace
    label_workspace: Workspace

    @property
    def scale(self) -> float:
        """Factor on both sides of the image before the network sees it; 1 until it is found."""
        scale = self.settings.targets[self.target].scale
        return 1.0 if scale is None else scale

    @property
    def thresholds(self) -> Thresholds:
        """Thresholds of the target."""
        return self.settings.targets[self.target].thresholds

    @property
    def grid(self) -> BlockGrid:
        """The blocks."""
        return BlockGrid(self.shape, self.settings.block)

    @property
    def map_grid(self) -> BlockGrid:
        """The blocks of the distance map: larger, as tiles on the faces are predicted for either side."""
        return BlockGrid(self.shape, 2 * self.settings.block)
